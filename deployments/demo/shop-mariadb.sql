-- The second act's shop: what a real application keeps in MariaDB. A statement ends at a line's end.
CREATE SEQUENCE invoice_number START WITH 100000 INCREMENT BY 3;

CREATE TABLE users (
    id bigint AUTO_INCREMENT PRIMARY KEY,
    email varchar(200) NOT NULL UNIQUE,
    name varchar(100) NOT NULL COMMENT 'the 😀 in a name must survive',
    preferences json NOT NULL DEFAULT '{}',
    referred_by bigint,
    created_at timestamp NOT NULL DEFAULT current_timestamp(),
    FOREIGN KEY (referred_by) REFERENCES users (id)
);

CREATE TABLE products (
    id int AUTO_INCREMENT PRIMARY KEY,
    sku varchar(20) NOT NULL UNIQUE,
    name varchar(100) NOT NULL,
    price decimal(10, 2) NOT NULL CHECK (price >= 0),
    thumbnail blob,
    label varchar(120) GENERATED ALWAYS AS (concat(sku, ' ', name)) STORED,
    FULLTEXT KEY by_words (name)
);

CREATE TABLE orders (
    id bigint AUTO_INCREMENT PRIMARY KEY,
    user_id bigint NOT NULL,
    state enum('new', 'paid', 'shipped', 'returned') NOT NULL DEFAULT 'new',
    invoice bigint NOT NULL DEFAULT (nextval(invoice_number)) UNIQUE,
    placed_at timestamp NOT NULL,
    note text,
    KEY by_user (user_id, placed_at),
    FOREIGN KEY (user_id) REFERENCES users (id)
);

CREATE TABLE order_items (
    order_id bigint NOT NULL,
    line smallint NOT NULL,
    product_id int NOT NULL,
    quantity int NOT NULL CHECK (quantity > 0),
    price decimal(10, 2) NOT NULL,
    PRIMARY KEY (order_id, line),
    FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE,
    FOREIGN KEY (product_id) REFERENCES products (id)
);

CREATE TABLE audit (at timestamp NOT NULL DEFAULT current_timestamp(), relation varchar(50) NOT NULL, was text);

INSERT INTO users (email, name, preferences, referred_by, created_at)
SELECT concat('user', seq, '@example.org'),
       concat(elt(1 + seq % 8, 'Ada', 'Grace', 'Linus', 'Zoë', 'Žofie', '渡辺', 'Ольга', '😀 Emoji'), ' ', seq),
       json_object('theme', elt(1 + seq % 2, 'dark', 'light')), IF(seq % 5 = 0, seq DIV 2, NULL),
       '2024-01-01 12:00:00' + INTERVAL seq * 17 MINUTE
FROM seq_1_to_20000;

INSERT INTO products (sku, name, price, thumbnail)
SELECT concat('SKU-', lpad(seq, 6, '0')), concat(elt(1 + seq % 5, 'Kettle', 'Lamp', 'Chair', 'Desk', 'Rug'), ' No. ', seq),
       (seq % 400) + 0.99, unhex(concat(repeat(lpad(hex(seq % 256), 2, '0'), 256), md5(seq)))
FROM seq_1_to_5000;

INSERT INTO orders (user_id, state, placed_at, note)
SELECT 1 + (seq * 7919) % 20000, elt(1 + seq % 4, 'new', 'paid', 'shipped', 'returned'),
       now() - INTERVAL (60000 - seq) * 4 MINUTE, IF(seq % 10 = 0, 'line one\nline two );\n and a \\ backslash', NULL)
FROM seq_1_to_60000;

INSERT INTO order_items
SELECT o.id, l.seq, 1 + (o.id * 31 + l.seq * 17) % 5000, 1 + o.id % 4, ((o.id + l.seq) % 400) + 0.99
FROM orders AS o, seq_1_to_3 AS l;

CREATE TRIGGER remember_orders AFTER UPDATE ON orders FOR EACH ROW
    BEGIN INSERT INTO audit (relation, was) VALUES ('orders', OLD.state); SET @last = OLD.id; END;

CREATE FUNCTION order_total(wanted bigint) RETURNS decimal(12, 2) READS SQL DATA
    RETURN (SELECT coalesce(sum(quantity * price), 0) FROM order_items WHERE order_id = wanted);

CREATE PROCEDURE ship(wanted bigint) UPDATE orders SET state = 'shipped' WHERE id = wanted;

CREATE VIEW revenue AS
SELECT date_format(o.placed_at, '%Y-%m') AS month, count(DISTINCT o.id) AS orders, sum(i.quantity * i.price) AS total
FROM orders AS o JOIN order_items AS i ON i.order_id = o.id
GROUP BY 1;

CREATE EVENT tidy ON SCHEDULE EVERY 1 DAY DO DELETE FROM audit WHERE at < now() - INTERVAL 1 YEAR;

UPDATE orders SET state = 'returned' WHERE id % 500 = 0;
