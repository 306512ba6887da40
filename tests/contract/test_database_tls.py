"""TLS to MySQL: the server is verified unless its host is loopback or the operator chooses another mode."""

import datetime as dt
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shared.domain.errors import ConfigurationError, DatabaseUnavailableError
from tests.contract.databases import open_database
from tests.mariadb import MariaDb, migrate, own_server

NAMED = "localhost"  # the name in the server's certificate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificates ``ca.pem``, ``other-ca.pem``, and ``server.pem``, which ``ca.pem`` has signed."""
    folder = tmp_path_factory.mktemp("certificates")
    ca, key = make_certificate(folder / "ca.pem", "a CA")
    make_certificate(folder / "other-ca.pem", "another CA")
    make_certificate(folder / "server.pem", NAMED, ca, key)
    return folder


def make_certificate(
    file: Path, name: str, ca: x509.Certificate | None = None, ca_key: ec.EllipticCurvePrivateKey | None = None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Write a certificate and, beside it, its key; without ``ca`` the certificate is a CA."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(ca.subject if ca else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name.replace(" ", "-"))]), critical=False)
        .sign(ca_key or key, hashes.SHA256())
    )
    file.write_bytes(made.public_bytes(Encoding.PEM))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.with_suffix(".key").write_bytes(pem)
    return made, key


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[MariaDb]:
    with own_server(f"--ssl-cert={folder / 'server.pem'}", f"--ssl-key={folder / 'server.key'}") as server:
        server.execute("CREATE DATABASE media")
        yield server


def at(server: MariaDb, host: str, **options: object) -> str:
    url = server.url("media").replace("@127.0.0.1:", f"@{host}:")
    return f"{url}?{'&'.join(f'{name}={value}' for name, value in options.items())}" if options else url


def cipher_of(url: str) -> str:
    database = open_database(url)
    with database.session():
        ((_, cipher),) = database.peewee.execute_sql("SHOW STATUS LIKE 'Ssl_cipher'").fetchall()
    database.peewee.close()
    return str(cipher)


@pytest.mark.parametrize(
    ("host", "options"),
    [
        (NAMED, {"ssl_mode": "VERIFY_IDENTITY"}),
        (NAMED, {"ssl_mode": "verify_identity"}),
        ("127.0.0.1", {"ssl_mode": "VERIFY_CA"}),
    ],
)
def test_a_verified_connection_is_encrypted(server: MariaDb, folder: Path, host: str, options: dict[str, Any]) -> None:
    assert cipher_of(at(server, host, **options, ssl_ca=folder / "ca.pem"))


def test_migrations_use_the_same_tls_options(server: MariaDb, folder: Path) -> None:
    migrate(at(server, NAMED, ssl_mode="VERIFY_IDENTITY", ssl_ca=folder / "ca.pem"), "current")
    with pytest.raises(subprocess.CalledProcessError):
        migrate(at(server, NAMED, ssl_mode="VERIFY_IDENTITY", ssl_ca=folder / "other-ca.pem"), "current")


def test_ssl_mode_required_encrypts_without_verification(server: MariaDb) -> None:
    assert cipher_of(at(server, "127.0.0.1", ssl_mode="REQUIRED"))


@pytest.mark.parametrize("options", [{}, {"ssl_mode": "DISABLED"}])
def test_loopback_connections_are_plain_text_by_default(server: MariaDb, options: dict[str, Any]) -> None:
    assert cipher_of(at(server, "127.0.0.1", **options)) == ""


@pytest.mark.parametrize(
    ("host", "mode", "ca"),
    [
        (NAMED, "VERIFY_IDENTITY", "other-ca.pem"),
        (NAMED, "VERIFY_CA", "other-ca.pem"),
        ("127.0.0.1", "VERIFY_IDENTITY", "ca.pem"),  # a host that is not in the certificate
    ],
)
def test_a_server_that_cannot_be_verified_is_refused(
    server: MariaDb, folder: Path, host: str, mode: str, ca: str
) -> None:
    with pytest.raises(DatabaseUnavailableError) as refused:
        cipher_of(at(server, host, ssl_mode=mode, ssl_ca=folder / ca))
    assert "CERTIFICATE_VERIFY_FAILED" in str(refused.value.__cause__)


def test_a_server_whose_ca_the_system_does_not_know_is_refused(server: MariaDb) -> None:
    with pytest.raises(DatabaseUnavailableError) as refused:
        cipher_of(at(server, NAMED, ssl_mode="VERIFY_IDENTITY"))
    assert "CERTIFICATE_VERIFY_FAILED" in str(refused.value.__cause__)


@pytest.mark.parametrize("options", [{}, {"ssl_mode": "REQUIRED"}])
def test_a_server_without_tls_is_refused_if_tls_is_required(own_mariadb: MariaDb, options: dict[str, Any]) -> None:
    # 127.1 is the same address in a spelling that the rule for loopback hosts does not recognise.
    with pytest.raises(DatabaseUnavailableError) as refused:
        cipher_of(at(own_mariadb, "127.1", **options))
    assert "SSL" in str(refused.value.__cause__)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("ssl-ca=x", "ssl-ca"),
        ("charset=latin1&ssl_mode=REQUIRED", "charset"),
        ("ssl_mode", "''"),
        ("ssl_mode=PREFERRED", "PREFERRED"),
        ("ssl_mode=VERIFY_CA&ssl_mode=DISABLED", "once"),
        ("ssl_ca=nowhere.pem", "nowhere.pem"),
        ("ssl_ca=s.yaml", "s.yaml"),
        ("ssl_mode=REQUIRED&ssl_ca=s.yaml", "VERIFY_CA"),
        ("ssl_mode=DISABLED&ssl_ca=s.yaml", "VERIFY_CA"),
    ],
)
def test_the_error_names_an_invalid_option(query: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        open_database(f"mysql+pymysql://user:password@db.example.com/media?{query}")


def test_sqlite_accepts_no_options() -> None:
    with pytest.raises(ConfigurationError, match="no options"):
        open_database("sqlite:///jobs.db?ssl_mode=REQUIRED")
