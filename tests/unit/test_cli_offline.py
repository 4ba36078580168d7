"""The command without a network: init, check and keys; exit statuses, documents, files."""

import base64
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backproof import __version__
from deployments.cli import main
from tests.support.documents import check_keys, example

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in an empty folder, with none of our variables set."""
    monkeypatch.chdir(tmp_path)
    for name in ("BACKPROOF_FLEET", "BACKPROOF_KEY", "BACKPROOF_SIGNING_KEY", "SHOP_PASSWORD"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str, env: Mapping[str, str] | None = None, stdin: str | None = None) -> Result:
        return CliRunner().invoke(main, arguments, env=dict(env or {}), input=stdin, prog_name="backproof")

    return run


@pytest.fixture
def secrets(run: Run) -> dict[str, str]:
    """A fresh fleet, and what its environment file holds."""
    assert run("init").exit_code == 0
    return environment(Path("fleet.env"))


def environment(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def mode(path: str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


def document(result: Result) -> dict[str, object]:
    """What is on stdout: one JSON document, and nothing else."""
    read = json.loads(result.stdout)
    assert isinstance(read, dict)
    return read


def test_init_writes_a_fleet_and_its_secrets_which_only_the_owner_reads(run: Run) -> None:
    result = run("init")
    assert result.exit_code == 0
    assert mode("fleet.env") == 0o600
    assert mode("fleet.yaml") == 0o644
    keys = environment(Path("fleet.env"))
    assert all(len(base64.b64decode(keys[name])) == 32 for name in ("BACKPROOF_KEY", "BACKPROOF_SIGNING_KEY"))
    for secret in (keys["BACKPROOF_KEY"], keys["BACKPROOF_SIGNING_KEY"]):
        assert secret not in result.output + Path("fleet.yaml").read_text()


def test_the_secrets_are_private_whatever_the_umask(run: Run) -> None:
    before = os.umask(0)
    try:
        run("init")
    finally:
        os.umask(before)
    assert mode("fleet.env") == 0o600


def test_two_inits_make_different_keys(run: Run) -> None:
    run("--fleet", "a.yaml", "init")
    run("--fleet", "b.yaml", "init")
    assert environment(Path("a.env"))["BACKPROOF_KEY"] != environment(Path("b.env"))["BACKPROOF_KEY"]


@pytest.mark.parametrize("there", ["fleet.yaml", "fleet.env"])
def test_init_overwrites_neither_file_and_then_writes_neither(run: Run, there: str) -> None:
    Path(there).write_text("mine")
    result = run("init")
    assert result.exit_code == 1
    assert f"{there} is there already" in result.stderr
    assert [path.name for path in Path().iterdir()] == [there]
    assert Path(there).read_text() == "mine"


def test_init_does_not_follow_a_link(run: Run) -> None:
    Path("fleet.env").symlink_to("elsewhere")
    assert run("init").exit_code == 1
    assert not Path("elsewhere").exists()


def test_after_init_one_line_of_shell_makes_check_pass(run: Run, tmp_path: Path) -> None:
    load = document(run("--json", "init"))["load"]
    command = Path(sys.executable).with_name("backproof")
    shell = subprocess.run(["sh", "-ec", f"{load}\n{command} check"], cwd=tmp_path, capture_output=True, text=True)
    assert shell.returncode == 0, shell.stderr
    assert "fleet.yaml is right." in shell.stdout
    assert "databases.shop-db.password is empty" in shell.stderr


def test_init_works_beside_any_fleet_file_and_in_a_folder_with_a_space(run: Run, tmp_path: Path) -> None:
    (tmp_path / "my fleet").mkdir()
    load = document(run("--json", "--fleet", "my fleet/shop.yaml", "init"))["load"]
    shell = subprocess.run(["sh", "-ec", f"{load}\necho $BACKPROOF_KEY"], cwd=tmp_path, capture_output=True, text=True)
    assert len(base64.b64decode(shell.stdout)) == 32


def test_init_says_where_the_folder_is_missing(run: Run) -> None:
    result = run("--fleet", "nowhere/fleet.yaml", "init")
    assert result.exit_code == 1
    assert "there is no folder nowhere" in result.stderr


def test_check_before_the_secrets_are_loaded_says_how_to_load_them(run: Run, secrets: dict[str, str]) -> None:
    result = run("check")
    assert result.exit_code == 1
    assert "set -a; . ./fleet.env; set +a" in result.stderr
    for name in secrets:
        assert f"${{{name}}}, which is not set" in result.stderr


def test_check_without_a_fleet_says_how_to_make_one(run: Run) -> None:
    result = run("check")
    assert result.exit_code == 1
    assert (
        result.stderr == "error: there is no fleet.yaml.\nMake one with backproof init, or name yours with --fleet.\n"
    )


def test_check_answers_with_plans_and_fingerprints(run: Run, secrets: dict[str, str]) -> None:
    answer = document(run("--json", "check", env=secrets))
    assert answer["plans"][0]["plan"] == "shop"  # type: ignore[index]
    assert answer["plans"][0]["aes256"].startswith("aes256:")  # type: ignore[index]
    assert answer["plans"][0]["escrow"] is None  # type: ignore[index]


def test_check_reads_the_expectations_of_a_plans_checks(run: Run, secrets: dict[str, str]) -> None:
    fleet = Path("fleet.yaml")
    checks = 'database: shop-db\n    checks: [{name: orders, sql: "SELECT 1", expect: "about 7"}]'
    fleet.write_text(fleet.read_text().replace("    database: shop-db", f"    {checks}"))
    result = run("check", env=secrets)
    assert result.exit_code == 1
    assert "plans.shop.checks: orders" in result.stderr


def test_an_unknown_engine_is_answered_with_those_there_are(run: Run, secrets: dict[str, str]) -> None:
    fleet = Path("fleet.yaml")
    fleet.write_text(fleet.read_text().replace("engine: postgresql", "engine: postgres9"))
    result = run("check", env=secrets)
    assert result.exit_code == 1
    assert "Known engines: " in result.stderr


@pytest.mark.parametrize("command", [["check"], ["keys", "show"], ["list"], ["list", "shop"]])
def test_a_plan_without_an_escrow_key_is_warned_about_every_time(
    run: Run, secrets: dict[str, str], command: list[str]
) -> None:
    assert "plan shop has no escrow key" in run(*command, env=secrets).stderr


def test_a_plan_that_is_not_encrypted_is_warned_about_every_time(run: Run, secrets: dict[str, str]) -> None:
    fleet = Path("fleet.yaml")
    fleet.write_text(fleet.read_text().replace("    database: shop-db", "    database: shop-db\n    encryption: none"))
    assert "encryption: none" in run("check", env=secrets).stderr
    assert "encryption: none" in run("list", env=secrets).stderr


def test_with_an_escrow_key_there_is_no_warning_and_its_fingerprint_is_shown(run: Run, secrets: dict[str, str]) -> None:
    made = document(run("--json", "keys", "escrow"))
    fleet = Path("fleet.yaml")
    fleet.write_text(fleet.read_text().replace("# escrow_public_key", "escrow_public_key"))
    result = run("--json", "check", env=secrets)
    assert "no escrow key" not in result.stderr
    assert document(result)["plans"][0]["escrow"] == made["fingerprint"]  # type: ignore[index]
    shown = document(run("--json", "keys", "show", env=secrets))
    assert shown["keys"]["main"]["escrow"] == made["fingerprint"]  # type: ignore[index]


def test_escrow_writes_a_pair_whose_private_half_only_the_owner_reads(run: Run) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

    result = run("keys", "escrow")
    assert result.exit_code == 0
    assert (mode("keys"), mode("keys/escrow.pem"), mode("keys/escrow-private.pem")) == (0o700, 0o644, 0o600)
    private = load_pem_private_key(Path("keys/escrow-private.pem").read_bytes(), None)
    public = load_pem_public_key(Path("keys/escrow.pem").read_bytes())
    assert private.key_size == 4096  # type: ignore[union-attr]
    assert private.public_key() == public  # type: ignore[union-attr]
    assert "offline" in result.stdout


def test_a_passphrase_locks_the_private_half_and_the_fleet_opens_it_again(run: Run, secrets: dict[str, str]) -> None:
    result = run("keys", "escrow", "--passphrase-file", "-", stdin="corrèct horse\n")
    assert result.exit_code == 0
    assert b"ENCRYPTED" in Path("keys/escrow-private.pem").read_bytes()
    fleet = Path("fleet.yaml")
    brought_out = 'escrow_private_key: keys/escrow-private.pem\n    escrow_passphrase: "${PASSPHRASE}"'
    fleet.write_text(fleet.read_text().replace("# escrow_public_key: keys/escrow.pem", brought_out))
    assert run("check", env={**secrets, "PASSPHRASE": "corrèct horse"}).exit_code == 0
    wrong = run("check", env={**secrets, "PASSPHRASE": "incorrect"})
    assert wrong.exit_code == 1
    assert "keys.main: the escrow private key" in wrong.stderr


def test_an_empty_passphrase_is_refused_before_anything_is_made(run: Run) -> None:
    assert run("keys", "escrow", "--passphrase-file", "-", stdin="\n").exit_code == 2
    assert not Path("keys").exists()


@pytest.mark.parametrize("there", ["escrow.pem", "escrow-private.pem"])
def test_escrow_never_overwrites(run: Run, there: str) -> None:
    Path("keys").mkdir()
    Path("keys", there).write_text("mine")
    assert run("keys", "escrow").exit_code == 1
    assert [path.read_text() for path in Path("keys").iterdir()] == ["mine"]


def test_a_key_in_kms_is_shown_by_its_arn_without_asking_kms(run: Run, secrets: dict[str, str]) -> None:
    fleet = Path("fleet.yaml")
    arn = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"
    old = secrets["BACKPROOF_KEY"]
    text = fleet.read_text().replace(
        'aes256: "${BACKPROOF_KEY}"', f'kms: "{arn}"\n    old: ["{old}"]\n    old_kms: ["{arn}0"]'
    )
    assert arn in text
    fleet.write_text(text)
    shown = document(run("--json", "keys", "show", env=secrets))["keys"]["main"]  # type: ignore[index]
    assert (shown["aes256"], shown["kms"]) == (None, arn)
    assert [name.split(":")[0] for name in shown["old"]] == ["aes256", "arn"]
    plan = document(run("--json", "check", env=secrets))["plans"][0]  # type: ignore[index]
    assert (plan["aes256"], plan["kms"]) == (None, arn)
    assert f"kms {arn}" in " ".join(run("keys", "show", env=secrets).stdout.split())


def test_new_keys_go_to_a_private_file_that_is_never_overwritten(run: Run) -> None:
    first = document(run("--json", "keys", "new"))
    assert first["file"] == "keys.env"
    assert mode("keys.env") == 0o600
    kept = Path("keys.env").read_text()
    assert run("keys", "new").exit_code == 1
    assert Path("keys.env").read_text() == kept


def test_new_keys_may_be_printed_for_a_secret_manager(run: Run) -> None:
    result = run("keys", "new", "--to", "-")
    assert [line.split("=")[0] for line in result.stdout.splitlines()] == ["BACKPROOF_KEY", "BACKPROOF_SIGNING_KEY"]
    answer = document(run("keys", "new", "--to", "-", "--json"))
    assert answer["environment"].keys() == {"BACKPROOF_KEY", "BACKPROOF_SIGNING_KEY"}  # type: ignore[attr-defined]


def test_fingerprints_name_keys_and_tell_none(run: Run, secrets: dict[str, str]) -> None:
    made = document(run("--json", "--fleet", "other.yaml", "init"))["fingerprints"]
    other = environment(Path("other.env"))
    result = run("--json", "--fleet", "other.yaml", "keys", "show", env=other)
    shown = document(result)
    assert shown["signing"] == made["signing"]  # type: ignore[index]
    ring = {"aes256": made["aes256"], "kms": None, "old": [], "escrow": None}
    assert shown["keys"]["main"] == ring  # type: ignore[index]
    assert other["BACKPROOF_KEY"] not in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["frobnicate"],
        ["chekc"],
        ["check", "extra"],
        ["list", "--nonsense"],
        ["show", "shop"],
        ["restore", "shop", "--into", "x"],
        ["restore", "shop", "--backup", "latest"],
        ["restore", "shop", "--backup", "latest", "--into", "x", "--jobs", "0"],
        ["restore", "shop", "--backup", "latest", "--into", "x", "--tables", "a,,b"],
        ["export", "shop", "--backup", "latest", "--to", "f", "--encrypted", "--tables", "a"],
        ["backup", "shop", "--kind", "safety"],
        ["backup"],
        ["keys", "burn"],
    ],
)
def test_wrong_usage_is_status_two_and_says_so_in_words_and_in_json(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    as_json = run("--json", *arguments)
    assert as_json.exit_code == 2
    assert document(as_json)["error"]["kind"] == "UsageError"  # type: ignore[index]


def test_a_mistyped_command_is_answered_with_the_nearest(run: Run) -> None:
    assert "Did you mean 'check'?" in run("chekc").stderr


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("keys escrow --to x", ""),
        ("keys escrow --folde x", " Did you mean '--folder'?"),
        ("recover shop --befor 2026-01-01", " Did you mean '--before'?"),
        ("status --jsn", " Did you mean '--json'?"),
        ("status -x", ""),
    ],
)
def test_a_mistyped_option_is_answered_with_the_nearest_if_one_is_near(run: Run, asked: str, hint: str) -> None:
    option = next(word for word in asked.split() if word.startswith("-"))
    result = run(*asked.split())
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, f"Error: No such option '{option}'.{hint}")


@pytest.mark.parametrize(
    "command", ["list", "show", "restore", "export", "doctor", "backup", "verify", "prune", "pin", "unpin"]
)
def test_an_unknown_plan_is_one_fact_and_a_remedy_and_the_same_in_json(
    run: Run, secrets: dict[str, str], command: str
) -> None:
    more = {
        "show": ["latest"],
        "restore": ["--backup", "latest", "--into", "x"],
        "export": ["--backup", "latest", "--to", "f"],
        "pin": ["latest", "--why", "x"],
        "unpin": ["latest"],
    }
    result = run("--json", command, "shpo", *more.get(command, []), env=secrets)
    assert result.exit_code == (4 if command == "verify" else 1)
    assert document(result) == {
        "error": {
            "kind": "NotFound",
            "fact": "no plan is called 'shpo'",
            "remedy": "Did you mean 'shop'?",
            "transient": False,
        }
    }
    assert result.stderr == "error: no plan is called 'shpo'.\nDid you mean 'shop'?\n"


def test_global_options_count_before_and_after_the_command(run: Run) -> None:
    before, after = run("--json", "--fleet", "x.yaml", "check"), run("check", "--json", "--fleet", "x.yaml")
    assert document(before) == document(after)
    assert "x.yaml" in before.stdout


def test_the_fleet_is_the_options_then_the_variables(run: Run) -> None:
    named = {"BACKPROOF_FLEET": "variable.yaml"}
    assert "there is no variable.yaml" in run("check", env=named).stderr
    assert "there is no option.yaml" in run("--fleet", "option.yaml", "check", env=named).stderr
    assert "there is no option.yaml" in run("check", "--fleet", "option.yaml", env=named).stderr


def test_a_terminal_of_an_old_locale_gets_code_points_and_no_crash(
    run: Run, secrets: dict[str, str], tmp_path: Path
) -> None:
    shown = subprocess.run(
        [str(Path(sys.executable).with_name("backproof")), "keys", "show"],
        cwd=tmp_path,
        env={**os.environ, **secrets, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr
    assert "escrow\\u2013" in shown.stdout.replace(" ", "")


@pytest.mark.parametrize(
    ("arguments", "title"),
    [
        (["--fleet", "another.yaml", "init"], "init"),
        (["check"], "check"),
        (["schedule"], "schedule"),
        (["keys", "new"], "keys new"),
        (["keys", "escrow"], "keys escrow"),
        (["keys", "show"], "keys show"),
        (["list", "nope"], "error"),
        (["frobnicate"], "error"),
    ],
)
def test_documents_have_the_documented_keys(
    run: Run, secrets: dict[str, str], arguments: list[str], title: str
) -> None:
    check_keys(document(run("--json", *arguments, env=secrets)), example(title))


def test_help_is_there_for_every_command_and_none_hides(run: Run) -> None:
    commands = run("--help").stdout
    for command in (
        "init",
        "check",
        "keys",
        "doctor",
        "schedule",
        "apply",
        "up",
        "down",
        "backup",
        "verify",
        "list",
        "show",
        "restore",
        "export",
        "prune",
        "pin",
        "unpin",
        "demo",
    ):
        assert f"\n  {command} " in commands
        assert run(command, "--help").exit_code == 0


def test_the_version_is_told(run: Run) -> None:
    assert run("--version").stdout == f"backproof {__version__}\n"


def test_list_of_an_empty_store_is_an_empty_list(run: Run, secrets: dict[str, str]) -> None:
    assert document(run("--json", "list", env=secrets)) == {"backups": [], "unreachable": []}


def test_without_a_terminal_there_are_no_colours(run: Run, secrets: dict[str, str], tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("backproof")), "keys", "show"]
    shown = subprocess.run(command, cwd=tmp_path, env={**os.environ, **secrets}, capture_output=True, text=True)
    assert shown.returncode == 0
    assert "\x1b" not in shown.stdout + shown.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["init", "--help"],
        ["check"],
        ["schedule"],
        ["list"],
        ["keys", "show"],
        ["keys", "new", "--to", "-"],
        ["restore", "--help"],
    ],
)
def test_what_is_not_a_run_imports_neither_prefect_nor_what_is_heavy(
    run: Run, secrets: dict[str, str], tmp_path: Path, arguments: list[str]
) -> None:
    heavy = {"prefect", "botocore", "pandas", "sqlalchemy", "psycopg2", "fastapi"}
    if "--help" in arguments:
        heavy.add("pydantic")  # no fleet is read
    program = (
        "import sys\n"
        "from deployments.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "finally:\n"
        f"    print('heavy:', sorted({heavy!r} & sys.modules.keys()), file=sys.stderr)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={**os.environ, **secrets}, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    assert "heavy: []" in finished.stderr
