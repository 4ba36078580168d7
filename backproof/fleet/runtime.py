"""A fleet at work: engines, stores and keys, built when they are first asked for."""

from collections.abc import Callable, Iterable
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from pydantic import SecretStr

from backproof import engines
from backproof.engines import Engine
from backproof.errors import ConfigurationError, NotFound
from backproof.fleet import pem
from backproof.fleet.fields import key_bytes
from backproof.fleet.specs import DatabaseSpec, KeyRingSpec, LocalStoreSpec, PlanSpec, S3StoreSpec
from backproof.fleet.whole import FleetSpec, nearest
from backproof.records import Target
from backproof.stores import Store

if TYPE_CHECKING:
    from backproof.archive.keys import KeyRing
    from backproof.archive.signing import Signer
    from backproof.kms import KmsKey


class Fleet:
    """What a spec describes. Building one touches nothing: no file, no server, no store."""

    def __init__(self, spec: FleetSpec) -> None:
        self.spec = spec
        self._stores: dict[str, Store] = {}
        self._lock = Lock()

    def plan(self, name: str) -> PlanSpec:
        """What a plan says.

        Raises:
            NotFound: there is none of that name.
        """
        plan = self.spec.plans.get(name)
        if plan is None:
            raise _unknown("plan", name, self.spec.plans)
        return plan

    def engine(self, plan: str) -> Engine:
        """The engine of a plan's database."""
        return engines.find(self._database(plan).engine)

    def target(self, plan: str, admin: bool = False) -> Target:
        """A plan's database, and who connects to it: its reader or, with ``admin``, the more powerful user.

        Raises:
            ConfigurationError: ``admin`` is asked for, and the fleet names none.
        """
        database = self._database(plan)
        user, password = database.user, database.password
        if admin:
            if database.admin is None:
                where = f"databases.{self.plan(plan).database}.admin"
                raise ConfigurationError(f"{where} is missing", "Name the user who may create databases there.")
            user, password = database.admin.user, database.admin.password
        return Target(
            host=database.host,
            port=database.port,
            database=database.name,
            user=user,
            password=password,
            options=database.options,
        )

    def restorer(self, plan: str) -> Target:
        """A plan's database, and who makes others beside it: the admin where the fleet names one, else the reader."""
        return self.target(plan, admin=self._database(plan).admin is not None)

    def staging(self, plan: str) -> Target | None:
        """Where a plan's recovery tests restore to, and who makes databases there; None: a throwaway server.

        Raises:
            ConfigurationError: that server is of another kind than the plan's.
        """
        name = self.plan(plan).recovery_test.staging.database
        if name is None:
            return None
        database = self.spec.databases[name]
        if engines.find(database.engine).name != self.engine(plan).name:
            raise ConfigurationError(
                f"databases.{name} is {database.engine}, and the database of plan {plan} is not",
                "Name a staging server of the same kind in recovery_test.staging.database.",
            )
        who = database.admin or database
        return Target(
            host=database.host,
            port=database.port,
            database=database.name,
            user=who.user,
            password=who.password,
            options=database.options,
        )

    def store(self, name: str) -> Store:
        """A store by name; the same object each time.

        Raises:
            NotFound: there is none of that name.
        """
        spec = self.spec.stores.get(name)
        if spec is None:
            raise _unknown("store", name, self.spec.stores)
        with self._lock:
            if name not in self._stores:
                self._stores[name] = _local(name, spec) if isinstance(spec, LocalStoreSpec) else self._s3(name, spec)
            return self._stores[name]

    def stores(self, plan: str) -> list[Store]:
        """A plan's stores, in its order."""
        return [self.store(name) for name in self.plan(plan).stores]

    def ring(self, plan: str) -> "KeyRing | None":
        """The keys of a plan's archives, or None where the plan wants no encryption."""
        name = self.plan(plan).key
        return None if name is None else self.key_ring(name)

    def key_ring(self, name: str) -> "KeyRing":
        """A key ring by name.

        Raises:
            NotFound: there is none of that name, or no file where it names one.
            ConfigurationError: what it holds are no keys.
        """
        spec = self.spec.keys.get(name)
        if spec is None:
            raise _unknown("key ring", name, self.spec.keys)
        return _ring(spec, partial(self._kms, spec), f"keys.{name}")

    @cached_property
    def signer(self) -> "Signer":
        """Who signs this fleet's manifests and proofs, and whose signatures count."""
        from backproof.archive.signing import Signer

        signing = self.spec.signing
        trusted = tuple(key_bytes(SecretStr(key)) for key in signing.also_trust)
        return Signer(key_bytes(signing.private_key), trusted)

    @property
    def scratch_folder(self) -> Path | None:
        """Where throwaway servers keep their data; None: the system's temporary folder."""
        return self.spec.scratch_folder

    @property
    def tool_folders(self) -> tuple[Path, ...]:
        """Looked in for database programs before the usual places."""
        return self.spec.tool_folders

    def _database(self, plan: str) -> DatabaseSpec:
        return self.spec.databases[self.plan(plan).database]

    def _s3(self, name: str, spec: S3StoreSpec) -> Store:
        from backproof.stores.s3 import S3Store

        access_key_id, secret_access_key, session_token = self._access(spec.credentials)
        return S3Store(
            name,
            spec.bucket,
            spec.region,
            prefix=spec.prefix,
            endpoint_url=spec.endpoint_url,
            access_key_id=access_key_id,
            secret_access_key=secret_access_key,
            session_token=session_token,
            storage_class=spec.storage_class,
        )

    def _kms(self, spec: KeyRingSpec, arn: str) -> "KmsKey":
        from backproof.kms import KmsKey

        return KmsKey(arn, spec.endpoint_url, *self._access(spec.credentials))

    def _access(self, name: str | None) -> tuple[str | None, str | None, str | None]:
        """Access key id, secret and session token; all None for the machine's own."""
        if name is None:
            return None, None, None
        access = self.spec.credentials[name]
        return access.access_key_id, _open(access.secret_access_key), _open(access.session_token)


def _local(name: str, spec: LocalStoreSpec) -> Store:
    from backproof.stores.local import LocalStore

    return LocalStore(name, spec.path)


def _ring(spec: KeyRingSpec, kms: "Callable[[str], KmsKey]", where: str) -> "KeyRing":
    from backproof.archive.keys import KeyRing

    public = None if spec.escrow_public_key is None else pem.read(spec.escrow_public_key, f"{where}.escrow_public_key")
    private = (
        None if spec.escrow_private_key is None else pem.read(spec.escrow_private_key, f"{where}.escrow_private_key")
    )
    passphrase = _open(spec.escrow_passphrase)
    here = None if spec.aes256 is None else key_bytes(spec.aes256)
    current = here if spec.kms is None else kms(spec.kms)
    old: list[bytes | KmsKey] = [*map(key_bytes, spec.old), *map(kms, spec.old_kms)]
    try:
        return KeyRing(current, old, public, private, None if passphrase is None else passphrase.encode())
    except ConfigurationError as error:
        # The ring knows what is wrong with a key, and not where the fleet gave it.
        raise ConfigurationError(f"{where}: {error.fact}", error.remedy) from None


def _open(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _unknown(what: str, name: str, known: Iterable[str]) -> NotFound:
    names = sorted(known)
    meant = nearest(name, names)
    if meant:
        return NotFound(f"no {what} is called {name!r}", f"Did you mean {meant!r}?")
    return NotFound(f"no {what} is called {name!r}", f"There are: {', '.join(names) or 'none'}.")
