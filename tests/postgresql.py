"""A PostgreSQL server of our own in a temporary folder, where its programs are found."""

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import psycopg


def programs():
    """The folder of initdb and pg_ctl; None where PostgreSQL is not installed."""
    found = shutil.which("pg_ctl")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((one for one in folders if (one / "initdb").exists() and (one / "pg_ctl").exists()), None)


class Cluster:
    """A server that only a socket in its folder leads to."""

    def __init__(self):
        self.programs = programs()
        self.folder = Path(tempfile.mkdtemp(prefix="ifw-pg-"))
        self.user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres")
        self.data = self.folder / "data"
        self.n_databases = 0
        self.run("initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C")
        self.flags = f"-k {self.folder} -c listen_addresses='' -c fsync=off -c max_connections=200"
        self.start()

    def start(self):
        """Let it serve."""
        self.run("pg_ctl", "-D", self.data, "-o", self.flags, "-l", self.folder / "log", "-w", "start")

    def stop(self):
        """End it as a crash would: it recovers at its next start."""
        self.run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")

    def run(self, name, *arguments):
        command = [str(self.programs / name), *map(str, arguments)]
        if os.getuid() == 0:  # the server refuses to run as root
            command = ["runuser", "-u", self.user, "--", *command]
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL, timeout=60)

    def url(self, database):
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def new_database(self):
        self.n_databases += 1
        name = f"test_{self.n_databases}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def close(self):
        with suppress(subprocess.CalledProcessError):  # it is stopped already
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
