"""Opening the database file: made when first written to, read wherever it can be read.

Every failure of SQLite leaves this room as a `StoreError` that names the file. A damaged file
is never deleted or repaired here; `envtool.machine.mending.recover` makes another.
"""

import fcntl
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from envtool.errors import DatabaseError, StoreError
from envtool.machine.disk import disk_errors
from envtool.machine.schema import SCHEMA, SCHEMA_VERSION, TABLES

BUSY_SECONDS = 60.0
"""How long another process may hold the write lock before it counts as stuck."""

_DAMAGED = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT"})
_NO_TEXT = "Could not decode"
"""How Python's module tells of a text that is not UTF-8."""
_UNWRITABLE = frozenset({"SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH"})


def _uri_path(path: str) -> str:
    """Return a path as it stands in a `file:` URI of SQLite's ("URI Filenames", 3.1)."""
    if not path.isascii():
        from urllib.parse import quote

        return quote(os.fsencode(path))
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


class Connection:
    """One database file, opened when first needed; serves all threads of the process."""

    def __init__(self, file: str, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self.file = file
        self._schema_file = f"{os.path.dirname(file)}/schema"
        self._busy_seconds = busy_seconds
        self._forget()

    def _forget(self) -> None:
        self._process = os.getpid()
        self._mutex = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._inode = (0, 0)
        """Of the file that is open: another one may be put in its place."""
        self._finalizer: weakref.finalize[..., Connection] | None = None

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """Lend the connection for queries; None when there is no database yet."""
        with self._lent():
            yield self._opened()

    @contextmanager
    def writing(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """Lend the connection for one transaction: all of it happens or nothing.

        With `durable` it is on the disk at the end; otherwise a power cut may undo it.

        :raises StoreError: the database cannot be made or written to.
        """
        with self._lent():
            connection = self._opened() or self._created()
            connection.execute(f"pragma synchronous = {'full' if durable else 'normal'}")
            connection.execute("begin immediate")
            try:
                yield connection
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._finalizer is not None and self._process == os.getpid():
            with self._mutex:
                self._finalizer()
                self._connection = self._finalizer = None

    @contextmanager
    def _lent(self) -> Iterator[None]:
        if self._process != os.getpid():
            # SQLite's connections must not be used, nor closed, in a forked child.
            self._forget()
        with self._mutex:
            try:
                yield
            except sqlite3.Error as error:
                raise self._diagnosis(error) from error

    def _opened(self) -> sqlite3.Connection | None:
        inode = self._found()
        if self._connection is not None and inode != self._inode:
            self.close()
        if self._connection is None and inode is not None:
            self._check_version()
            with _closed_on_error(self._connect_any()) as connection:
                if self._is_complete(connection):
                    self._adopt(connection)
                else:
                    connection.close()
        return self._connection

    def _found(self) -> tuple[int, int] | None:
        """Return device and number of the file; None when there is none yet."""
        try:
            status = os.stat(self.file)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _is_complete(self, connection: sqlite3.Connection) -> bool:
        """Return whether the tables are there; False while somebody is about to make them.

        :raises StoreError: they were there once.
        """
        tables = _tables(connection)
        if not tables and not os.path.exists(self._schema_file):
            return False
        if not tables:
            with self._initialising():
                tables = _tables(connection)
        if not tables >= TABLES:
            raise self.damaged("its tables are missing")
        if not os.path.exists(self._schema_file):
            # Who made the tables was killed before it wrote the version of them.
            with suppress(OSError):
                self._write_schema()
        return True

    def _adopt(self, connection: sqlite3.Connection) -> None:
        self._connection, self._inode = connection, self._found() or (0, 0)
        self._finalizer = weakref.finalize(self, _close, connection, os.getpid())

    def _check_version(self) -> None:
        try:
            with open(self._schema_file, encoding="ascii", errors="replace") as file:
                text = file.read().strip()
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"cannot read {self._schema_file}: {error.strerror}") from error
        if not (text.isascii() and text.isdigit()):
            raise self.damaged(f"the file schema beside it says {text[:20]!r}, not a number")
        if text != str(SCHEMA_VERSION):
            newer = int(text[:9]) > SCHEMA_VERSION
            raise StoreError(
                f"{self._schema_file} says that the store's database has schema {text!r}; "
                f"this envtool knows {SCHEMA_VERSION}",
                hint="use a newer envtool, or set ENVTOOL_ROOT to another directory"
                if newer
                else "set ENVTOOL_ROOT to another directory",
            )

    def _connect(self, uri: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            uri,
            uri=True,
            timeout=self._busy_seconds,
            isolation_level=None,
            check_same_thread=False,
        )
        with _closed_on_error(connection):
            connection.execute("pragma foreign_keys = on")
            _tables(connection)
        return connection

    def _connect_any(self) -> sqlite3.Connection:
        """Open for writing where that is allowed, else for reading."""
        address = f"file:{_uri_path(self.file)}"
        try:
            return self._connect(f"{address}?mode=rw")
        except sqlite3.OperationalError as error:
            if _kind(error) not in _UNWRITABLE:
                raise
        # A WAL database needs its -shm file, which a read-only directory does not let us make.
        wal = f"{self.file}-wal"
        if os.path.exists(wal) and os.path.getsize(wal):
            return self._copied(wal)
        return self._connect(f"{address}?mode=ro&immutable=1")

    def _copied(self, wal: str) -> sqlite3.Connection:
        """Return a copy in memory of a database that was left with transactions in its WAL."""
        import shutil
        import tempfile

        with disk_errors(f"read {self.file}"), tempfile.TemporaryDirectory() as folder:
            shutil.copyfile(self.file, f"{folder}/db")
            shutil.copyfile(wal, f"{folder}/db-wal")
            copy = self._connect("file::memory:")
            with (
                _closed_on_error(copy),
                closing(self._connect(f"file:{_uri_path(folder)}/db?mode=rw")) as source,
            ):
                source.backup(copy)
                copy.execute("pragma query_only = on")
        return copy

    def _created(self) -> sqlite3.Connection:
        folder = os.path.dirname(self.file)
        with disk_errors("set up the store's database"):
            os.makedirs(folder, exist_ok=True)
            with self._initialising():
                if not os.path.exists(self.file):
                    # It speaks of a database that was moved away; killed now, we begin again.
                    with suppress(FileNotFoundError):
                        os.unlink(self._schema_file)
                connection = self._opened()
                if connection is None:
                    connection = self._connect(f"file:{_uri_path(self.file)}?mode=rwc")
                    with _closed_on_error(connection):
                        self._initialise(connection)
                    self._adopt(connection)
        return connection

    def _initialise(self, connection: sqlite3.Connection) -> None:
        connection.execute("pragma journal_mode = wal")
        if not _tables(connection):
            connection.executescript(f"begin; {SCHEMA} commit;")
        self._write_schema()

    def _write_schema(self) -> None:
        temporary = f"{self._schema_file}.tmp-{os.getpid()}"
        with open(temporary, "w", encoding="ascii") as file:
            file.write(str(SCHEMA_VERSION))
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, self._schema_file)

    @contextmanager
    def _initialising(self) -> Iterator[None]:
        """Hold Nix's `big-lock`; where it cannot be made, nobody is initialising either."""
        path = f"{os.path.dirname(self.file)}/big-lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except PermissionError:
            yield
            return
        except OSError as error:
            with disk_errors("set up the store's database"):
                raise error from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def damaged(self, what: str) -> DatabaseError:
        """Return the error for a file that is damaged, which says what to do."""
        return DatabaseError(
            f"the store's database {self.file} is damaged: {what}",
            hint="make it again from the store, this one is kept: envtool store verify --repair",
        )

    def _diagnosis(self, error: sqlite3.Error) -> StoreError:
        kind = _kind(error)
        if kind in _DAMAGED or str(error).startswith(_NO_TEXT):
            return self.damaged(str(error))
        if kind in _UNWRITABLE:
            return StoreError(
                f"the store's database {self.file} cannot be opened or written to: {error}",
                hint="set ENVTOOL_ROOT to a directory of yours",
            )
        if kind in {"SQLITE_BUSY", "SQLITE_LOCKED"}:
            return StoreError(
                f"another process has kept the store's database {self.file} "
                f"locked for {self._busy_seconds:g} s",
                hint=f"see who: fuser {self.file}",
            )
        full = kind in {"SQLITE_FULL", "SQLITE_IOERR"}
        return StoreError(
            f"the store's database {self.file} failed: {error}",
            hint="free some space on its disk and run it again" if full else None,
        )


def _kind(error: sqlite3.Error) -> str:
    """Return the primary result code's name, such as SQLITE_READONLY."""
    name = getattr(error, "sqlite_errorname", "")
    return "_".join(name.split("_")[:2])


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("select name from sqlite_master")}


@contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    try:
        yield connection
    except BaseException:
        connection.close()
        raise


def _close(connection: sqlite3.Connection, process: int) -> None:
    if process == os.getpid():
        connection.close()
