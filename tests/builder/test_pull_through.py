"""What can be wished for of a cache in front of a remote, and that nothing which nginx would misread is."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import UsageError
from builder.site.rules import beside, pull_through
from builder.site.rules.pull_through import Wish

GOOD = "http://192.0.2.1/"


@pytest.mark.parametrize(
    "url",
    [
        *("", "flatpaks.example.org", "ftp://example.org/", "http:///", "https://example.org/?tag=x", "http://a/#x"),
        *("http://user:password@example.org/", "http://a/b c/", 'http://a/"/', "http://a/$uri/", "http://a/;}/"),
        *("http://a/%20/", "http://a//b/", "http://a\n/", "http://a/\n", "http://a:b/", "http://[::g]/", "http://a/{}"),
        *("http://[1:2]/", "http://[::1", "http://a:0/", "http://a:65536/", "http://a/../b/", "http://a/."),
        "oci+https://example.org/",
    ],
)
def test_peculiar_urls_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="no cache can be put in front of"):
        pull_through.server(Wish(url, resolvers=["192.0.2.53"]))
    with pytest.raises(UsageError, match="no cache can be put in front of"):
        beside.cache(wished(pull_through=url))


@given(st.text(alphabet="htps:/[]a.b0%\"$;{}\n#?@\\'", max_size=30))
def test_no_url_gets_out_of_its_place(end: str) -> None:
    try:
        text = pull_through.server(Wish(f"http://a/{end}", resolvers=["192.0.2.53"]))
    except UsageError:
        return
    assert f'set $flatdex_upstream "http://a/{end.rstrip("/")}'.rstrip("/") in text
    assert not set(end) & set("\"$;{}\n#?\\'%")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": "20"}, "is not a size"),
        ({"size": "0g"}, "is not a size"),
        ({"size": "20g inactive=1s"}, "is not a size"),
        ({"listen": ["0"]}, "can't listen"),
        ({"listen": ["65536"]}, "can't listen"),
        ({"listen": ["80", "localhost:80"]}, "can't listen"),
        ({"listen": ["80; }"]}, "can't listen"),
        ({"listen": ["192.0.2.1"]}, "can't listen"),
        ({"listen": ["192.0.2.256:80"]}, "can't listen"),
        ({"listen": ["[::1]:80:80"]}, "can't listen"),
        ({"listen": [""]}, "can't listen"),
        ({"resolvers": [":53"]}, "not the address of a name server"),
        ({"resolvers": [""]}, "not the address of a name server"),
        ({"resolvers": ["dns.example"]}, "not the address of a name server"),
        ({"resolvers": ["192.0.2.53;"]}, "not the address of a name server"),
        ({"url": "http://flatpaks.example.org/"}, "nothing says which name server knows flatpaks.example.org"),
        ({"url": "https://192.0.2.1/"}, "by name alone"),
        ({"url": "https://[2001:db8::1]:8443/"}, "by name alone"),
    ],
)
def test_wrong_wishes_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        pull_through.server(Wish(**{"url": GOOD} | wrong))
    assert caught.value.fix


@pytest.mark.parametrize(
    ("url", "needed"),
    [
        ("http://192.0.2.1/", False),
        ("http://192.0.2.1:8080/a", False),
        ("http://[2001:db8::1]/", False),
        ("http://[2001:db8::1]:80/", False),
        ("http://localhost/", True),
        ("https://flatpaks.example.org:8443/", True),
    ],
)
def test_an_address_needs_no_name_server(url: str, needed: bool) -> None:
    assert pull_through.needs_resolver(url) is needed
    text = pull_through.server(Wish(url, resolvers=["192.0.2.53", "[2001:db8::53]:5353"]))
    assert ("resolver 192.0.2.53 [2001:db8::53]:5353;" in text) is needed


def test_this_machines_name_servers_are_found() -> None:
    text = "# nameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch lan\nnameserver\tfd00::1 \nnameserver fe80::1%eth0\n"
    assert pull_through.name_servers(text) == ["192.0.2.2", "[fd00::1]"]
    assert pull_through.name_servers("") == []


def test_what_is_rendered_follows_the_wish() -> None:
    text = pull_through.server(Wish("http://192.0.2.1:81/a/b/", "/srv/x", "3t", "/media/stick", ["8081", "[::1]:8082"]))
    assert 'proxy_cache_path "/srv/x" levels=1:2 keys_zone=flatdex_192_0_2_1_81_a_b:114m max_size=3t' in text
    assert "    listen 8081;\n    listen [::1]:8082;\n" in text
    assert text.count('root "/media/stick";') == 3
    assert 'proxy_redirect "/a/b/" /;' in text
    assert "THIS-HOST:8081/" in text
    plain = pull_through.server(Wish(GOOD))
    assert 'proxy_cache_path "/var/cache/flatdex-192_0_2_1" ' in plain
    assert "try_files" not in plain and "proxy_ssl" not in plain
    secure = pull_through.server(Wish("https://a.example/", resolvers=["192.0.2.53"]))
    assert (
        "proxy_ssl_verify on;" in secure
        and 'proxy_ssl_trusted_certificate "/etc/ssl/certs/ca-certificates.crt";' in secure
    )


def wished(**options: Any) -> argparse.Namespace:
    """The options of the command line, of which these were given."""
    names = ("cache", "size", "seed", "listen", "resolver", "authorities")
    return argparse.Namespace(**dict.fromkeys(names) | {"pull_through": GOOD} | options)


def test_a_seed_is_a_folder_or_what_is_current_in_a_store(tmp_path: Path) -> None:
    assert f'root "{tmp_path}";' in beside.cache(wished(seed=str(tmp_path)))
    (tmp_path / "snapshots").mkdir()
    assert f'root "{tmp_path}/current";' in beside.cache(wished(seed=str(tmp_path)))
    with pytest.raises(UsageError, match="is not there"):
        beside.cache(wished(seed=str(tmp_path / "nowhere")))


@pytest.mark.parametrize("name", ["cache", "authorities"])
def test_folders_that_nginx_would_misread_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="web servers would misread"):
        beside.cache(wished(**{name: '/srv/a"b'}))
