"""Screenshots, which are pictures on other hosts, as files of the site."""
