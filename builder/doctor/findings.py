"""What is wrong with a remote, in findings of three weights; their codes are stable, for scripts to know them by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum


class Weight(Enum):
    """An error keeps users from what they want, a warning hurts or will hurt them, a note is good to know."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def counts(self) -> bool:
        """Whether it makes the exit code 1."""
        return self is not Weight.NOTE


@dataclass(frozen=True)
class Code:
    """A kind of finding: what it means for users, and how to mend it."""

    weight: Weight
    means: str
    mend: str


@dataclass(frozen=True)
class Finding:
    """One thing that was found, at a place."""

    code: str
    weight: Weight
    where: str
    what: str
    means: str
    mend: str

    @property
    def as_json(self) -> dict[str, str]:
        """For a script."""
        return {**asdict(self), "weight": self.weight.value}


def finding(code: str, where: str, what: str) -> Finding:
    """A finding of a known kind."""
    kind = CODES[code]
    return Finding(code, kind.weight, where, what, kind.means, kind.mend)


_E, _W, _N = Weight.ERROR, Weight.WARNING, Weight.NOTE

_RULES = "Apache: are the `.htaccess` files read (`AllowOverride FileInfo Indexes`), or the rules of `flatdex rules`?"
_UNREADABLE = "Clients can't read the index: nothing is found, installed or updated."
_PULL_FAILS = "It can't be installed or updated."

CODES: Mapping[str, Code] = {
    # The place
    "unreachable": Code(_E, "Nobody gets anything from there.", "Is the server running, and is the URL right?"),
    "too-slow": Code(_E, "Clients give up, or wait for minutes.", "Look at the server's load and at what is between."),
    "too-large": Code(_E, "Clients would load all of it.", "Is it what was meant to be served there?"),
    "tls-untrusted": Code(
        _E,
        "Clients refuse the connection.",
        "Renew the certificate, for this name, and serve it with its intermediate ones; `--ca` for an own authority.",
    ),
    "tls-expiring": Code(_E, "In a few days nobody gets anything any more.", "Renew the certificate now."),
    "tls-ageing": Code(_W, "If nobody renews it in time, nobody gets anything.", "Does the renewal work?"),
    "plain-http": Code(_N, "Anybody on the way can read and change what users get.", "Serve it over https://."),
    "redirect-broken": Code(_E, "Clients end nowhere.", "Let redirects end, and never lead from https:// to http://."),
    "redirected": Code(_N, "Each request costs two.", "Name the place itself in the .flatpakrepo file."),
    "is-registry": Code(
        _E,
        "This is an OCI registry: clients find no index there.",
        "Name the remote's URL, where index/static is; in a .flatpakref, too.",
    ),
    "is-page": Code(
        _E, "This is a web page: clients find no index there.", "Name the URL that ends before index/static."
    ),
    "address-unreachable": Code(_E, "Users who are sent there get nothing.", "Mend it, or take it out of the name."),
    "address-unasked": Code(
        _N,
        "None, perhaps: this machine has no way to such addresses.",
        "Look from a machine that has one, as for IPv6.",
    ),
    "address-etag": Code(
        _W,
        "Clients that meet now one server, now the other load everything again.",
        "One kind of server behind one name, and files with equal mtimes: `flatdex push` sees to them.",
    ),
    "address-differs": Code(_E, "Users get now the new remote, now the old one.", "Push to all of them."),
    # The index and its headers
    "index-missing": Code(_E, _UNREADABLE, f"Is anything published there? {_RULES}"),
    "tag-unknown": Code(_E, "Clients that ask for it find nothing.", "Name a tag that is there, or publish this one."),
    "index-refused": Code(_E, _UNREADABLE, "Let anybody read index/static: clients send no login there."),
    "index-failing": Code(_E, _UNREADABLE, "Look at the server's error log."),
    "index-unreadable": Code(
        _E,
        "Clients take it in place of the good one that they have, and fail until it expires.",
        "Publish a whole index, in JSON and UTF-8.",
    ),
    "index-encoding": Code(
        _E,
        "Clients say that JSON data must be UTF-8 encoded.",
        f"Send packed files with `Content-Encoding: gzip`, never x-gzip, and nothing else. {_RULES}",
    ),
    "index-type": Code(_N, "Clients don't mind; browsers and proxies may.", "Send it as application/json."),
    "index-empty": Code(_N, "Users of this tag and architecture see no application.", "Is that meant?"),
    "encodings-differ": Code(
        _E, "Some clients see another index than others.", "Make the packed file anew, from the plain one."
    ),
    "vary-missing": Code(
        _W, "Proxies hand packed bytes to who can't read them.", "Send `Vary: Accept-Encoding` with the index."
    ),
    "parameter-order": Code(
        _W, "Clients that sort their parameters otherwise see another index.", "Match each parameter where it stands."
    ),
    "cache-silent": Code(
        _W,
        "Clients ask nothing for 30 minutes, whatever was published.",
        f"Send `Cache-Control: no-cache` with the index. {_RULES}",
    ),
    "cache-long": Code(
        _W, "Updates and withdrawals reach users so much later.", "Send `no-cache`, or a max-age of some minutes."
    ),
    "etag-missing": Code(
        _W, "A client that asks again loads all of it again.", "Send an ETag with the index, as Apache and nginx do."
    ),
    "etag-dated": Code(
        _N, "Of two versions of one second clients may keep the first.", "Send an ETag with the index, too."
    ),
    "etag-malformed": Code(
        _W,
        "No server knows it again, so clients load all of it again.",
        "Switch MultiViews off, and what else edits it.",
    ),
    "etag-unstable": Code(
        _W,
        "Clients load all of it again although nothing changed.",
        "Form it of size and mtime, or of the bytes; one kind of server, and equal mtimes, behind one name.",
    ),
    "etag-shared": Code(
        _W, "A proxy takes the packed bytes for the plain ones.", "Give packed and plain answers an ETag each."
    ),
    "not-modified-gzip": Code(
        _W,
        "Clients load the whole index again with each look.",
        "Pack it once, when it is built: mod_deflate and its like make ETags that never match.",
    ),
    "not-modified-plain": Code(
        _W, "Clients that take no gzip load it again with each look.", "Answer If-None-Match with 304."
    ),
    "not-modified-forgets": Code(
        _W,
        "Clients forget the ETag, or ask nothing for 30 minutes, after a 304.",
        "Send ETag and Cache-Control with the 304, too.",
    ),
    "query-ignored": Code(
        _N,
        "Whatever tag a client asks for, it gets the same index.",
        "Give each tag a URL of its own (`plain_host: true`), or let the server know the rules.",
    ),
    "other-tag": Code(
        _E,
        "Users of this tag are offered what belongs to another one.",
        f"Heed the query, or give each tag a URL of its own (`plain_host: true`). {_RULES}",
    ),
    # What stands in the index
    "registry-missing": Code(_E, "Clients up to 1.14 crash, newer ones refuse it.", "Write `Registry` into the index."),
    "registry-useless": Code(_E, _PULL_FAILS, "Name an http(s) URL, or one relative to the index, such as ../"),
    "key-missing": Code(
        _E, "Clients from 1.17.1 on refuse the whole index.", "Write all keys: Name, Images, Digest, MediaType, OS, .."
    ),
    "part-malformed": Code(_E, "Clients refuse the whole index.", "Make lists of objects of it, as registries do."),
    "label-not-text": Code(_E, "Clients refuse the whole index.", "All values of Labels and Annotations are strings."),
    "digest-malformed": Code(_E, "Clients abort when they meet it.", "sha256: and 64 hexadecimal digits."),
    "digest-unknown": Code(_W, "Clients leave the image out.", "Name images by sha256 digests."),
    "ref-missing": Code(_W, "Clients leave the image out.", "Only images with org.flatpak.ref belong into the index."),
    "ref-malformed": Code(_W, "Clients leave the image out.", "app/ID/ARCH/BRANCH or runtime/ID/ARCH/BRANCH."),
    "ref-twice": Code(_E, "Which of them clients install is an accident.", "Let an index have one image a ref."),
    "ref-architecture": Code(
        _W, "It is offered to machines that can't run it.", "Build it anew: Architecture is OCI's name of the ref's."
    ),
    "metadata-missing": Code(_E, "Clients leave the image out.", "Keep the label org.flatpak.metadata."),
    "size-malformed": Code(_W, "Clients show wrong sizes.", "Sizes are whole numbers of bytes, as text."),
    "token-malformed": Code(
        _W, "Clients may ask for tokens that are not needed, or fail.", "AAAAAABp for none, AQAAAABp for one."
    ),
    "annotations-missing": Code(
        _N, "Clients up to 1.4 see nothing.", "`annotations: true`, if anybody still has one of those."
    ),
    "runtime-missing": Code(
        _W,
        "Users can't install it unless they have another remote, which nobody tells them of.",
        "Publish the runtime in this tag, too, or name its remote (`runtime_repo`): .flatpakref files pass it on.",
    ),
    "runtime-elsewhere": Code(
        _N, "Users get its runtime from another remote, or another tag.", "Nothing, if that is meant."
    ),
    "appdata-broken": Code(
        _W, "It vanishes from searches and software centres, without a word.", "Mend the metainfo, and build it anew."
    ),
    "appdata-missing": Code(
        _N, "Software centres have nothing to show of it.", "Bring a metainfo file, and let flatpak compose it."
    ),
    # Icons
    "icon-unreachable": Code(_W, "It is shown without an icon.", "Publish icons before the index that names them."),
    "icon-broken": Code(_W, "It is shown without an icon.", "Icons are PNGs of 64 and 128 pixels; SVG is not shown."),
    "icon-type": Code(_W, "Browsers, and clients that look at it, show no icon.", "Send it as image/png."),
    "icon-lifetime": Code(
        _N, "Each client asks for each icon again and again.", "Icons that are named by their hash may live a year."
    ),
    "icon-inline": Code(
        _N, "The index is larger than it need be.", "`extract_icons: true` makes files of icons, fetched once."
    ),
    # Pulling
    "pull-login": Code(_E, "Who has no login can't install it.", "Make the repository public."),
    "pull-missing": Code(_E, _PULL_FAILS, "Push the image again, or take it out of the index."),
    "pull-failing": Code(_E, _PULL_FAILS, "Look at the registry, and at what it redirects to."),
    "pull-digest": Code(_E, _PULL_FAILS, "Something changes bytes on the way, or they were damaged: push it again."),
    "pull-size": Code(_E, _PULL_FAILS, "The manifest is wrong, or the blob was cut: push it again."),
    "pull-encoding": Code(
        _E, _PULL_FAILS, "Serve /v2/ as it is: no Content-Encoding, no mod_mime_magic, no compression."
    ),
    "pull-compressed": Code(
        _W, "Blobs are packed twice, and some clients can't read them.", "Switch compression off below /v2/."
    ),
    "head-failing": Code(
        _W, "Clients that ask for a token first can't install it.", "Answer HEAD as GET, or say `token: none`."
    ),
    "manifest-malformed": Code(_E, _PULL_FAILS, "Push it again, as a single OCI image."),
    "media-type-missing": Code(
        _W,
        "It can be installed only while the server sends its exact Content-Type, which plain file servers don't.",
        "Build it anew with a flatpak that writes `mediaType`; a manifest can't be edited.",
    ),
    "manifest-type": Code(
        _E,
        "It can't be installed system-wide.",
        "Send its exact media type as Content-Type, without a charset, or build it anew with `mediaType`.",
    ),
    "metadata-differs": Code(_E, "Clients refuse to install it.", "Let the index say what the image's config says."),
    "config-malformed": Code(_E, _PULL_FAILS, "Build it anew with flatpak build-bundle --oci."),
    # Files that name the remote
    "file-unreachable": Code(_E, "Nobody can add the remote with it.", "Publish it, or take the link away."),
    "file-malformed": Code(
        _E, "Clients refuse it.", "It is a key file: [Flatpak Repo] or [Flatpak Ref], then KEY=VALUE."
    ),
    "file-url": Code(
        _E,
        "Clients find no remote there, or take it for another one.",
        "Let Url be `oci+` and the remote's URL, the same in all files, byte for byte.",
    ),
    "file-key": Code(
        _E,
        "Clients refuse the file, or each installation.",
        "A CollectionID needs a GPGKey, and a GPGKey needs a SignatureLookaside.",
    ),
    "file-unknown-ref": Code(_E, "The install button fails.", "Take it away, or publish what it names."),
    "file-none": Code(_N, "Users have to type the remote's URL.", "Offer a .flatpakrepo file, and a link to it."),
    # flatdex's own
    "snapshot-malformed": Code(
        _W, "Mirrors and `flatdex adopt` can't read it.", "Push again; is another tool writing there?"
    ),
    "signature-expired": Code(
        _W, "Mirrors refuse it.", "Does a timer still run `flatdex publish`, and does it say why it fails?"
    ),
    "signature-soon": Code(
        _W, "If nobody renews it in time, mirrors refuse it.", "Does a timer still run `flatdex publish`?"
    ),
    "snapshot-differs": Code(
        _E, "Clients see another remote than was published.", f"Push again; does another place serve /index/? {_RULES}"
    ),
    "page-policy": Code(
        _N,
        "Should a page ever hold a hostile script, browsers would run it.",
        f"Send Content-Security-Policy. {_RULES}",
    ),
}
