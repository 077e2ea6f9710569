"""Certificates for tests of TLS, made anew in each run by an authority of their own."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import trustme
from ringwheel.media.sip.tls import TlsConfig


class Authority:
    """Signs certificates, and writes them into a folder as files."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self.path = folder / f"{name}.pem"
        self._authority.cert_pem.write_to_path(str(self.path))

    def issue(
        self, *names: str, file: str = "", not_after: datetime | None = None
    ) -> tuple[Path, Path]:
        """Certificate and key files, made out to names and addresses."""
        issued = self._authority.issue_cert(*names, not_after=not_after)
        stem = file or names[0].replace(":", "-").replace("*", "any")
        certificate, key = self._folder / f"{stem}.crt", self._folder / f"{stem}.key"
        blobs = issued.cert_chain_pems
        certificate.write_bytes(b"".join(blob.bytes() for blob in blobs))
        issued.private_key_pem.write_to_path(str(key))
        return certificate, key

    def config(self, *names: str, verify_client: str = "off") -> TlsConfig:
        """A configuration with a certificate for ``names`` that trusts this authority."""
        certificate, key = self.issue(*names)
        return TlsConfig(certificate, key, self.path, verify_client)  # type: ignore[arg-type]
