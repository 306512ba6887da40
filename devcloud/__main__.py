"""The command line of the local cloud: ``python -m devcloud``."""

import argparse
import contextlib
import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import quote

from devcloud.credentials import AccessKey
from devcloud.packages import PackageError, build
from devcloud.running import CloudError, RunningCloud, find_running

_PROJECT_DIR = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        return int(options.command(options) or 0)
    except (CloudError, PackageError) as error:
        print(f"devcloud: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m devcloud",
        description="Run Object Storage Service, Function Compute and the AI providers on this machine.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--project", type=Path, default=_PROJECT_DIR, metavar="DIR", help="the folder with s.yaml")
    common.add_argument("--data", type=Path, metavar="DIR", help="the data folder of the local cloud")

    up = commands.add_parser("up", parents=[common], help="run the local cloud until Ctrl-C")
    up.add_argument(
        "--port", type=int, default=9000, help="the first of three ports, default 9000; 0 chooses free ports"
    )
    up.add_argument(
        "--database-url", metavar="URL", help="mysql+pymysql://… or sqlite:///…; default: in the data folder"
    )
    up.add_argument("--fresh", action="store_true", help="delete the content of the data folder first")
    up.set_defaults(command=_up)

    oss = commands.add_parser("oss", help="run the OSS emulator alone until Ctrl-C")
    oss.add_argument("--port", type=int, default=9001, help="default 9001; 0 chooses a free port")
    oss.add_argument("--data", type=Path, metavar="DIR", help="the folder of the objects; default: a temporary one")
    oss.add_argument("--access-key", metavar="ID", help="default: the generated key of the data folder")
    oss.add_argument("--secret", metavar="SECRET")
    oss.add_argument("--region", default="cn-hangzhou")
    oss.add_argument("--bucket", action="append", default=[], metavar="NAME", help="create this bucket")
    oss.add_argument(
        "--control",
        type=int,
        nargs="?",
        const=0,
        metavar="PORT",
        help="also serve /faults and /clock, on a separate port",
    )
    oss.set_defaults(command=_oss)

    invoke = commands.add_parser("invoke", parents=[common], help="run one function and print its result")
    invoke.add_argument("function", metavar="FUNCTION")
    event = invoke.add_mutually_exclusive_group()
    event.add_argument("--event", default="{}", metavar="JSON")
    event.add_argument("--event-file", type=Path, metavar="FILE")
    invoke.add_argument(
        "--async", dest="asynchronous", action="store_true", help="queue the invocation and print its request id"
    )
    invoke.set_defaults(command=_invoke)

    token = commands.add_parser("token", parents=[common], help="print a token for a user of the API")
    token.add_argument("--user", help="the user; with --service: the name of the service, default back-end")
    token.add_argument(
        "--service", action="store_true", help="make a service token: it acts for the user in On-Behalf-Of"
    )
    token.add_argument("--expires-in", type=int, default=3600, metavar="SECONDS")
    token.set_defaults(command=_token, refuse=token.error)

    commands.add_parser("env", parents=[common], help="print addresses and keys as KEY=value").set_defaults(
        command=_env
    )

    package = commands.add_parser("package", help="build the code packages for deployment")
    package.add_argument("--project", type=Path, default=_PROJECT_DIR, metavar="DIR", help="the folder with s.yaml")
    package.add_argument(
        "--into", type=Path, required=True, metavar="DIR", help="the destination, with one folder per function"
    )
    package.add_argument("functions", nargs="*", metavar="FUNCTION", help="default: all")
    package.set_defaults(command=_package)
    return parser


def _up(options: argparse.Namespace) -> None:
    from devcloud.cloud import run  # only here: the other commands need no servers

    with _manifest_errors():
        run(
            options.project.resolve(),
            port=options.port,
            data_dir=options.data,
            database_url=options.database_url,
            fresh=options.fresh,
        )


@contextlib.contextmanager
def _manifest_errors() -> Iterator[None]:
    """Raise ``CloudError`` in place of ``ManifestError``."""
    from devcloud.fc.serverless_devs import ManifestError  # only here: the OSS emulator alone needs no Function Compute

    try:
        yield
    except ManifestError as error:
        raise CloudError(str(error)) from error


def _oss(options: argparse.Namespace) -> None:
    from devcloud.oss import standalone  # only here: the other commands need no server

    standalone.run(
        standalone.Options(
            port=options.port,
            data_dir=options.data,
            access_key_id=options.access_key,
            access_key_secret=options.secret,
            region=options.region,
            buckets=tuple(options.bucket),
            control_port=options.control,
        )
    )


def _env(options: argparse.Namespace) -> None:
    for name, value in _running(options).variables.items():
        print(f"{name}={value}")


def _token(options: argparse.Namespace) -> None:
    import jwt  # only here: it loads a cryptography library

    if options.user is None and not options.service:
        options.refuse("the following arguments are required: --user")
    cloud, now = _running(options), int(time.time())
    claims = {
        "sub": options.user or "back-end",
        "iss": cloud.auth_issuer,
        "aud": cloud.auth_audience,
        "iat": now,
        "exp": now + options.expires_in,
        **({"scope": cloud.auth_service_scope} if options.service else {}),
    }
    print(jwt.encode(claims, cloud.auth_secret, algorithm="HS256"))


def _invoke(options: argparse.Namespace) -> int:
    from devcloud.fc import acs3  # only here: the OSS emulator alone needs no Function Compute

    cloud = _running(options)
    event = _event(options)
    host = cloud.variables["FC_ENDPOINT"].removeprefix("http://")
    path = f"/2023-03-30/functions/{quote(options.function, safe='')}/invocations"
    headers = {"host": host, "content-type": "application/octet-stream"}
    if options.asynchronous:
        headers["x-fc-invocation-type"] = "Async"
    key = AccessKey(cloud.variables["OSS_ACCESS_KEY"], cloud.variables["OSS_SECRET"])
    signed = acs3.sign("POST", path, "", headers, event, action="InvokeFunction", key=key)
    connection = HTTPConnection(host)
    try:
        connection.request("POST", path, event, signed)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        raise CloudError(f"the local cloud did not answer: {error}") from error
    finally:
        connection.close()
    if answer.status == 202:
        print(answer.headers["x-fc-request-id"])
        return 0
    failed = answer.status != 200 or "x-fc-error-type" in answer.headers
    print(text, file=sys.stderr if failed else sys.stdout)
    return int(failed)


def _package(options: argparse.Namespace) -> None:
    from devcloud.cloud import load_local_manifest

    project: Path = options.project.resolve()
    with _manifest_errors():
        known = load_local_manifest(project).functions
    if unknown := set(options.functions) - known.keys():
        raise CloudError(f"s.yaml does not define the function {', '.join(sorted(unknown))}")
    for name in options.functions or known:
        package = build(project / "functions" / known[name].folder, project / "shared", options.into / name)
        bytecode = "" if package.compiled else "  (without bytecode, because Python 3.12 is not installed)"
        print(f"{package.folder}  {package.size_bytes / 1e6:.1f} MB{bytecode}", flush=True)


def _event(options: argparse.Namespace) -> bytes:
    if options.event_file is not None:
        try:
            return bytes(options.event_file.read_bytes())
        except OSError as error:
            raise CloudError(f"cannot read the event: {error}") from error
    try:
        json.loads(options.event)
    except ValueError as error:
        raise CloudError(f"--event is not valid JSON: {error}") from error
    return str(options.event).encode()


def _running(options: argparse.Namespace) -> RunningCloud:
    return find_running(options.project.resolve(), options.data)


if __name__ == "__main__":
    sys.exit(main())
