"""Faults of headers and of places are found where a real server has them, each alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.doctor.site import PUBLIC, Copy, Index, by_apache, codes, copied, found
from tests.real.apache import Apache
from tests.real.nginx import Nginx
from tests.real.process import free_port
from tests.real.registry import DockerRegistry
from tests.real.tokens import Authority

RULES = "index/.htaccess"


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("cache-silent", "Header unset Cache-Control"),
        ("cache-silent", "Header set Cache-Control no-store"),
        ("cache-long", 'Header set Cache-Control "public, max-age=86400"'),
        ("not-modified-forgets", 'Header unset Cache-Control "expr=%{REQUEST_STATUS} == 304"'),
        ("etag-dated", "FileETag None"),
        ("etag-missing", "FileETag None\nHeader unset Last-Modified"),
        ("etag-unstable", 'Header set ETag "\\"%t\\""'),
        ("etag-malformed", "Header set ETag unquoted"),
        ("etag-shared", 'Header set ETag "\\"one\\""'),
        ("index-encoding", "AddEncoding x-gzip .gz"),
        ("index-encoding", '<FilesMatch "\\.gz$">\nRemoveEncoding .gz\n</FilesMatch>'),
        ("index-type", "ForceType text/plain"),
        ("vary-missing", "Header unset Vary"),
    ],
)
def test_headers_of_the_index(real_tmp: Path, copy: Copy, code: str, rule: str) -> None:
    copy.add(RULES, rule)
    unknown = code in ("etag-unstable", "etag-malformed", "etag-shared")  # Apache doesn't know such ETags again
    others = {"not-modified-gzip", "not-modified-plain"} if unknown else set()
    assert by_apache(real_tmp, copy) == {code} | others


def test_an_etag_that_compression_breaks(real_tmp: Path, copy: Copy) -> None:
    rules = f"""<Directory "{copy.root}/index">
    RewriteEngine On
    RewriteCond %{{QUERY_STRING}} ^(?!.*annotation)
    RewriteRule ^static$ latest.json [L]
    RewriteRule ^static$ latest.annotations.json [L]
    SetOutputFilter DEFLATE
    Header set Cache-Control no-cache
</Directory>
<Directory "{copy.root}/icons">
    Header set Cache-Control max-age=31536000
</Directory>
<Directory "{copy.root}">
    Header set Content-Security-Policy "default-src 'self'"
</Directory>"""
    modules = ("filter", "deflate")
    with Apache(real_tmp / "apache", copy.root, extra=rules, modules=modules, allow_override="None") as apache:
        assert codes(apache.url) == {"not-modified-gzip"}


def test_parameters_in_one_order_only(real_tmp: Path, copy: Copy) -> None:
    order = "RewriteCond %{QUERY_STRING} !^(?:label|annotation).*&tag=latest$"
    copy.add(RULES, f"RewriteEngine On\n{order}\nRewriteRule ^static$ - [R=404,L]", first=True)
    assert by_apache(real_tmp, copy) == {"parameter-order"}


def test_gzip_and_plain_that_differ(real_tmp: Path, copy: Copy) -> None:
    def other(index: Index) -> None:
        index["Results"][0]["Other"] = True

    copy.edit_indexes(other, packed=False)
    assert by_apache(real_tmp, copy, repo_files=()) - {"file-none"} == {"encodings-differ"}


def test_no_index(real_tmp: Path, copy: Copy) -> None:
    (copy.root / "index").rename(copy.root / "elsewhere")
    assert by_apache(real_tmp, copy) == {"index-missing"}


def test_an_index_for_some_only(real_tmp: Path, copy: Copy) -> None:
    assert by_apache(real_tmp, copy, '<Location "/index">\nRequire all denied\n</Location>') == {"index-refused"}


def test_a_server_with_a_mistake_in_its_rules(real_tmp: Path, copy: Copy) -> None:
    copy.add(RULES, "NoSuchDirective")
    assert by_apache(real_tmp, copy) == {"index-failing"}


def test_a_page_in_place_of_a_remote(real_tmp: Path, copy: Copy) -> None:
    page = "<!DOCTYPE html><title>Welcome</title>"
    copy.write("page.html", page.encode())
    with Nginx(real_tmp / "nginx", copy.root, extra="location / { try_files /page.html =404; }") as nginx:
        assert codes(nginx.url) == {"is-page"}


@pytest.mark.parametrize("path", ["index.html", "apps/", "apps/org.flatdex.Demo/index.html"])
@pytest.mark.parametrize("mount", ["/", "/a/b/"])
def test_a_page_of_a_remote_in_place_of_it(real_tmp: Path, copy: Copy, mount: str, path: str) -> None:
    """As somebody copies it from a browser: what was meant is said, and nothing of its files is called wrong."""
    with Apache(real_tmp / "apache", copy.root, mount=mount) as apache:
        (only,) = found(f"{apache.url}{path}", public="")
        assert only.code == "is-page" and f"did you mean {apache.url}?" in only.what


def test_a_page_that_names_a_remote_elsewhere(real_tmp: Path, copy: Copy) -> None:
    (real_tmp / "pages").mkdir()
    (real_tmp / "pages" / "index.html").write_text('<a href="example.flatpakrepo">add</a>')
    (real_tmp / "pages" / "example.flatpakrepo").write_bytes((copy.root / "example.flatpakrepo").read_bytes())
    with Apache(real_tmp / "apache", real_tmp / "pages", extra="DirectoryIndex index.html") as apache:
        (only,) = found(apache.url, public="")
        assert only.code == "is-page" and f"did you mean {PUBLIC}?" in only.what
        assert codes(apache.url) == {"index-missing"}  # then it is the page of the remote itself


def test_a_folder_below_a_remote(real_tmp: Path, copy: Copy) -> None:
    with Apache(real_tmp / "apache", copy.root) as apache:
        only = found(f"{apache.url}flatpaks/", public="")
    assert {each.code for each in only} == {"index-missing"} and f"did you mean {apache.url}?" in only[0].what


def test_a_registry_in_place_of_a_remote(real_tmp: Path) -> None:
    with DockerRegistry(real_tmp / "registry") as registry:
        (only,) = found(registry.url)
    assert only.code == "is-registry" and "index/static" in only.mend


def test_nobody_there() -> None:
    assert codes(f"http://127.0.0.1:{free_port()}/") == {"unreachable"}


def test_a_host_that_is_not_there() -> None:
    (only,) = found("https://flatpaks.invalid/")
    assert only.code == "unreachable" and "host" in only.what


def test_a_redirect_that_leads_round(real_tmp: Path, copy: Copy) -> None:
    assert by_apache(real_tmp, copy, "RedirectMatch ^/index/static$ /index/static") == {"redirect-broken"}


def test_a_redirect_that_works(real_tmp: Path, copy: Copy) -> None:
    copy.root.joinpath("index").rename(copy.root / "there")
    with Apache(real_tmp / "apache", copy.root) as apache:
        rule = f"RewriteEngine On\nRewriteRule ^/index/(.*)$ {apache.url}there/$1 [R=302,L]"
        apache.extra = rule
        apache.reload()
        only = found(apache.url)
    assert {each.code for each in only} == {"redirected"} and not only[0].weight.counts


def tls_apache(real_tmp: Path, copy: Copy) -> tuple[Apache, Authority, str]:
    """Apache with a certificate of an authority of our own, which lasts two days."""
    authority = Authority(real_tmp / "authority")
    certificate, key = authority.issue("server")
    port = free_port()
    extra = f"""Listen 127.0.0.1:{port}
<VirtualHost 127.0.0.1:{port}>
    DocumentRoot "{copy.root}"
    SSLEngine on
    SSLCertificateFile "{certificate}"
    SSLCertificateKeyFile "{key}"
</VirtualHost>"""
    apache = Apache(real_tmp / "apache", copy.root, extra=extra, modules=("socache_shmcb", "ssl"))
    return apache, authority, f"https://127.0.0.1:{port}/"


def test_a_certificate_that_nobody_trusts(real_tmp: Path, copy: Copy) -> None:
    apache, _, url = tls_apache(real_tmp, copy)
    with apache:
        only = found(url)
    assert {each.code for each in only} == {"tls-untrusted"} and "issuer certificate" in only[0].what


def test_a_certificate_that_ends_soon(real_tmp: Path, copy: Copy) -> None:
    apache, authority, url = tls_apache(real_tmp, copy)
    with apache:
        (only,) = found(url, ca=authority.certificate, host_addresses=("127.0.0.1",))
    assert only.code == "tls-expiring" and "good for 1 days" in only.what


def two_addresses(real_tmp: Path, copy: Copy, root: Path, rules: str = "") -> set[str]:
    """What is found where the second address of a host serves `root`."""
    apache = Apache(real_tmp / "apache", copy.root)
    other = f"""<VirtualHost 127.0.0.2:{apache.port}>
    DocumentRoot "{root}"
    {rules}
</VirtualHost>
<Directory "{root}">
    AllowOverride FileInfo Indexes
    Require all granted
</Directory>"""
    apache.extra = f"Listen 127.0.0.2:{apache.port}\n{other}"
    with apache:
        return codes(apache.url, host_addresses=("127.0.0.1", "127.0.0.2"))


def test_addresses_that_are_alike(real_tmp: Path, copy: Copy) -> None:
    assert two_addresses(real_tmp, copy, copy.root) == set()


def test_addresses_that_do_not_answer(real_tmp: Path, copy: Copy) -> None:
    with Apache(real_tmp / "apache", copy.root) as apache:
        assert codes(apache.url, host_addresses=("127.0.0.1", "127.0.0.9")) == {"address-unreachable"}


def test_addresses_with_an_etag_each(real_tmp: Path, copy: Copy) -> None:
    rules = '<Location "/">\nHeader set ETag "\\"another\\""\n</Location>'
    assert two_addresses(real_tmp, copy, copy.root, rules) == {"address-etag"}


def test_addresses_with_a_remote_each(real_tmp: Path, copy: Copy, built: Any) -> None:
    (real_tmp / "second").mkdir()
    second = copied(built, real_tmp / "second")
    second.edit_indexes(lambda index: index["Results"].pop())
    assert two_addresses(real_tmp, copy, second.root) == {"address-differs", "address-unreachable"}
