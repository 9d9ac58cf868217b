"""What the machines of a cluster agree on before work is handed out: encryption, the same files, the tier.

The cluster is Dask's. Between its machines Dask sends pickled objects, so that whoever has the certificate's
key can run anything on each of them; nobody else can connect at all. What a submission computes never
crosses as an object: it stays behind a worker's sandbox, and bytes come back.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import ssl
from dataclasses import dataclass
from pathlib import Path

from grader.course_folder import CourseFolder
from grader.errors import GraderError
from grader.hashes import chapter_hashes
from grader.sandbox import BUBBLEWRAP, Tier

PORT = 8786
CONNECT_SECONDS = 10.0
PACKAGES = ("torch", "numpy", "regex", "tiktoken", "safetensors", "dask", "distributed")
FACTS = "grader"  # under which a worker tells the scheduler what it is
NO_DASK = 'a cluster needs Dask: pip install -e ".[cluster]" in the course\'s folder'
SETTINGS = {
    "distributed.comm.require-encryption": True,
    "distributed.comm.timeouts.connect": CONNECT_SECONDS,
    # nothing is told over HTTP, which is open to all
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    # nothing goes to disk when memory is short
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.worker.profile.enabled": False,
    "distributed.scheduler.worker-ttl": "60 s",  # silent for so long, a machine is given up
}
LOCAL_HTTP = "127.0.0.1:0"  # Dask always opens a port for it


# ---- the connection ----


@dataclass(frozen=True)
class Tls:
    """The files of a certificate, as PEM: who may sign one, this machine's own, and its key."""

    ca: Path
    cert: Path
    key: Path


def given_tls(ca: Path | None, cert: Path | None, key: Path | None) -> Tls:
    """The files that the options name; refused where one is missing or others may read the key."""
    if ca is None or cert is None or key is None:
        raise GraderError(
            "a cluster without TLS is refused: give --tls-ca, --tls-cert and --tls-key;"
            ' "More than one machine" in grader/GRADING.md has the line that makes them'
        )
    for path in (ca, cert, key):
        if not path.is_file():
            raise GraderError(f"there is no {path}: grader/GRADING.md has the line that makes certificates")
    if os.name == "posix" and key.stat().st_mode & 0o077:
        raise GraderError(
            f"{key} opens every machine of the cluster, and others may read it: chmod 600 {key}"
        )
    return Tls(ca, cert, key)


def security(tls: Tls):
    """Dask's own form of it. The same certificate serves for every role."""
    use_dask()
    from distributed import Security

    own = {"cert": str(tls.cert), "key": str(tls.key)}
    roles = {
        f"tls_{role}_{name}": file for role in ("client", "scheduler", "worker") for name, file in own.items()
    }
    made = Security(require_encryption=True, tls_ca_file=str(tls.ca), **roles)
    try:
        made.get_connection_args("client")
    except (ssl.SSLError, OSError) as error:
        raise GraderError(f"{tls.cert}, {tls.key} and {tls.ca} are no certificate ({error})") from None
    return made


def use_dask() -> None:
    """Set Dask up; quiet, since its own messages quote what it works on."""
    try:
        import dask.config
        import distributed
    except ImportError:
        raise GraderError(NO_DASK) from None
    dask.config.set(SETTINGS)
    for name in ("", ".client", ".gc"):  # those that have a level of their own
        logging.getLogger(distributed.__name__ + name).setLevel(logging.CRITICAL)


def full_address(address: str) -> str:
    """A scheduler's address, with what it may leave out.

    >>> full_address("judge.example.edu")
    'tls://judge.example.edu:8786'
    """
    scheme, found, place = address.rpartition("://")
    if found and scheme != "tls":
        raise GraderError(f"{address} is not encrypted, and is refused: tls://{place}")
    host, _, port = place.rpartition(":")
    if not port.isdigit() or not host:
        place += f":{PORT}"
    return f"tls://{place}"


async def connects(address: str, security) -> None:
    """Whether somebody who has a certificate like ours answers there."""
    from distributed.comm import connect

    try:
        comm = await connect(address, timeout=CONNECT_SECONDS, **security.get_connection_args("client"))
    except Exception as error:
        cause = root_cause(error)
        if "certificate" in str(cause).lower():
            raise GraderError(
                f"{address} and this machine do not trust each other's certificates: {cause}"
            ) from None
        raise GraderError(
            f"no scheduler answers at {address} ({cause}): start one there, with grader scheduler"
        ) from None
    with contextlib.suppress(OSError):
        await comm.close()


def root_cause(error: BaseException) -> BaseException:
    """Where a chain of errors began; Dask's own links name its objects."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


# ---- what a machine is ----


def facts(folder: CourseFolder, tier: Tier) -> dict:
    """What a machine is for grading: its tier, and all that must be the same on each."""
    return {"tier": tier.plain(), "same": _versions() | _files(folder)}


def _versions() -> dict[str, str]:
    versions = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in PACKAGES:
        versions[name] = importlib.metadata.version(name).partition("+")[0]  # torch's +cpu, +cu128
    return versions


def _files(folder: CourseFolder) -> dict[str, str]:
    files = {}
    for chapter in folder.course.chapters:
        try:
            hashes = chapter_hashes(folder, chapter, "")
        except GraderError:  # no checks yet
            continue
        files |= {
            "modules of grader/": hashes["grader"],
            f"checks and solutions of {chapter}": hashes["checks"],
        }
    return files


def why_no_work(facts: dict | None, own: dict, require_sandbox: bool) -> str:
    """Why a worker gets no work; empty if it is fit. own: the facts of the machine that hands it out."""
    if facts is None:
        return "it was not started with grader worker"
    tier = Tier.of_plain(facts["tier"])
    if "network" not in tier.stops:
        return f"its tier, {tier.name}, leaves the network open"
    if require_sandbox and tier.name != BUBBLEWRAP.name:
        return f"its tier is {tier.name}, and --require-sandbox asks for {BUBBLEWRAP.name}"
    return "; ".join(differences(facts["same"], own["same"]))


def differences(there: dict[str, str], here: dict[str, str]) -> list[str]:
    """What is another there, in words."""
    found = []
    for name in dict.fromkeys([*here, *there]):
        a, b = there.get(name, "missing"), here.get(name, "missing")
        if a != b:
            short = all(len(value) < 20 for value in (a, b))  # a version, not a hash
            found.append(f"{name} is {a} there and {b} here" if short else f"its {name} differ")
    return found


def offers(facts: dict) -> list[str]:
    """What a worker is good for, as Dask's resources: work that asks for one goes nowhere else.

    The first is grading with just these files and versions and no network, the second that in bubblewrap.
    """
    isolated = "network" in facts["tier"]["stops"]
    text = json.dumps([facts["same"], isolated], sort_keys=True)
    mark = hashlib.sha256(text.encode()).hexdigest()[:32]
    in_bubblewrap = facts["tier"]["name"] == BUBBLEWRAP.name
    return [f"grading {mark}", *([f"grading in bubblewrap {mark}"] if in_bubblewrap else [])]


def wanted(own: dict, require_sandbox: bool) -> str:
    """The resource that work asks for."""
    return offers(own | {"tier": BUBBLEWRAP.plain()})[1 if require_sandbox else 0]
