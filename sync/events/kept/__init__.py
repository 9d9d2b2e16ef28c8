"""Events as files: those that others drop into a folder, and those that the store keeps."""
