"""The pages as people meet them: in a real browser, on a real web server, made by the real command."""
