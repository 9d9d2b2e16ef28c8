"""The rules by which web servers answer queries and send headers: for Apache, nginx and Caddy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from builder.config import Config
from builder.site.rules import apache, caddy, nginx

SERVERS: Mapping[str, Callable[[Config, str, str], str]] = {
    "apache": apache.server,
    "nginx": nginx.server,
    "caddy": caddy.server,
}
"""By a server's name: the text of its rules, from the document root there and the path at which it is mounted."""
