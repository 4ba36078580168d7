from tests.support.mariadb_fixtures import execute


def test_a_script_may_hold_triggers_and_routines(mariadb, fresh_schema):
    target = fresh_schema(
        mariadb,
        """
        CREATE TABLE t (a int PRIMARY KEY AUTO_INCREMENT, b varchar(20));
        CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW
            BEGIN IF NEW.b = 'x;' THEN SET NEW.b = 'y'; END IF; END;
        CREATE PROCEDURE p() BEGIN INSERT INTO t (b) VALUES ('x;'); SELECT 1; END;
        INSERT INTO t (b) VALUES ('ü€😀'), ('x;');
        CALL p();
        """,
    )
    assert execute(target, "SELECT b FROM t; DO 1") == [("ü€😀",), ("y",), ("y",)]
