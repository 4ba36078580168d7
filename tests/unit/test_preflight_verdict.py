"""What stops a backup, and whether another try may help."""

import pytest

from backproof.errors import Permanent, Transient
from backproof.operations.preflight import require
from backproof.records import Finding

WRONG = Finding(check="database", status="failed", found="password authentication failed", remedy="Correct it.")
AWAY = Finding(check="store far", status="failed", found="connection reset", remedy="Wait.", passing=True)
FINE = Finding(check="key", status="ok", found="aes256:1234")
POOR = Finding(check="escrow key", status="warning", found="the plan has none", remedy="Make one.")


def test_warnings_stop_nothing() -> None:
    require([FINE, POOR])


def test_what_may_pass_on_its_own_is_worth_another_try() -> None:
    with pytest.raises(Transient, match="store far: connection reset"):
        require([FINE, AWAY])


def test_what_a_person_must_mend_is_not_tried_again_whatever_else_failed() -> None:
    with pytest.raises(Permanent, match=r"database: password.*store far") as caught:
        require([WRONG, AWAY, POOR])
    assert caught.value.remedy == "Correct it. Wait."
