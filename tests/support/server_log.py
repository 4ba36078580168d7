"""What a server was told to do, by its own log."""

import re

from tests.support.engine_harness import POSTGRESQL
from tests.support.postgres_fixtures import log_of
from tests.support.recovering import Live


class ServerLog:
    """Of the server of a live database, as long as it is open."""

    def __init__(self, live: Live) -> None:
        self._live, self._from = live, 0
        self._server = live.world.server
        if live.world.harness is POSTGRESQL:
            self._do(f"ALTER ROLE {self._server.user} SET log_statement = 'ddl'")
        else:
            self._do("SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = 1")

    def close(self) -> None:
        """Log no more."""
        if self._live.world.harness is POSTGRESQL:
            self._do(f"ALTER ROLE {self._server.user} RESET log_statement")
        else:
            self._do("SET GLOBAL general_log = 0; TRUNCATE mysql.general_log; SET GLOBAL log_output = 'FILE'")

    def mark(self) -> None:
        """From here on."""
        if self._live.world.harness is POSTGRESQL:
            self._from = log_of(self._server).stat().st_size
        else:
            self._do("TRUNCATE mysql.general_log")

    def expect_nothing_twice(self, when: object) -> int:
        """No rename, and no loss of the live database: one that is made anew meanwhile is ours.

        Returns:
            How many such statements there were.
        """
        live = self._live.target.database
        whole = re.compile(f"(DROP|CREATE) DATABASE .*{live}\\W*( |$)")
        told = [each for each in self._told() if re.match("ALTER DATABASE .* RENAME|RENAME", each) or whole.match(each)]
        destroying: list[str] = []
        for statement in told:
            if statement.startswith("CREATE"):
                destroying = [each for each in destroying if not each.startswith("DROP")]
            else:
                destroying.append(statement)
            assert destroying.count(statement) <= 1, (when, told)
        return len(destroying)

    def _told(self) -> list[str]:
        if self._live.world.harness is POSTGRESQL:
            with log_of(self._server).open("rb") as log:
                log.seek(self._from)
                text = log.read().decode(errors="replace")
            return re.findall(r"statement: ((?:ALTER|DROP|CREATE) DATABASE .*)", text)
        asked = (
            "SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log WHERE command_type = 'Query'"
            " AND (argument LIKE 'RENAME%' OR argument LIKE '%DATABASE%')"
        )
        return [str(statement) for (statement,) in self._do(asked)]

    def _do(self, script: str) -> list[tuple[object, ...]]:
        return self._live.world.harness.run(self._server, script)
