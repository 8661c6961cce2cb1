"""A certificate authority of a test: keys on disk, valid for a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class Authority:
    """Signs what it is asked to; `crt` and `key` of each name lie in its folder."""

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = _common_name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        own = _builder(self._name, self._name, self._key).add_extension(x509.BasicConstraints(True, None), True)
        self.ca = folder / "ca.crt"
        self.ca.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def server(self) -> tuple[Path, Path]:
        """Certificate and key of a server on this machine, which may be a node of a cluster and so a client too."""
        names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))])
        both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        return self._issue("server", both, names)

    def client(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of a client whose subject is its common name."""
        return self._issue(name, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), None)

    def _issue(
        self, name: str, usage: x509.ExtendedKeyUsage, names: x509.SubjectAlternativeName | None
    ) -> tuple[Path, Path]:
        certificate, key_file = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        if not certificate.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            builder = _builder(_common_name(name), self._name, key).add_extension(usage, False)
            if names is not None:
                builder = builder.add_extension(names, False)
            key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            certificate.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        return certificate, key_file


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )
