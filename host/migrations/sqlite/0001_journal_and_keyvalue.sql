-- One row: which store this is. The id lets a head file be told apart from another store's.
CREATE TABLE store (
  one    INTEGER PRIMARY KEY CHECK (one = 1),
  id     BLOB    NOT NULL,
  -- Raised by a sync that has no rows of its own: a commit without a change writes nothing.
  syncs  INTEGER NOT NULL
) STRICT;
INSERT INTO store (one, id, syncs) VALUES (1, randomblob(16), 0);

-- Chains in the order they were registered, dense from 1; each link covers the one before.
CREATE TABLE chains (
  number     INTEGER PRIMARY KEY,
  id         BLOB    NOT NULL UNIQUE,
  opened_us  INTEGER NOT NULL,
  plugin     TEXT    NOT NULL,
  first      BLOB    NOT NULL,
  link       BLOB    NOT NULL
) STRICT;

-- The journal. Nothing is NULL: '' and x'' mean "none", so each row has one encoding only.
CREATE TABLE journal (
  chain      INTEGER NOT NULL REFERENCES chains (number),
  seq        INTEGER NOT NULL,
  time_us    INTEGER NOT NULL,
  kind       TEXT    NOT NULL,
  who        TEXT    NOT NULL,
  call       BLOB    NOT NULL,
  component  BLOB    NOT NULL,
  capability TEXT    NOT NULL,
  target     TEXT    NOT NULL,
  verdict    TEXT    NOT NULL,
  body       TEXT    NOT NULL,
  hash       BLOB    NOT NULL,
  PRIMARY KEY (chain, seq)
) STRICT, WITHOUT ROWID;

-- Key-value pairs of plugins. A rowid table, since values of 1 MiB do not belong in an index.
CREATE TABLE keyvalue (
  identity   TEXT    NOT NULL,
  bucket     TEXT    NOT NULL,
  key        TEXT    NOT NULL,
  value      BLOB    NOT NULL,
  UNIQUE (identity, bucket, key)
) STRICT;

-- What each identity is charged, kept in the transaction that changes it.
CREATE TABLE keyvalue_usage (
  identity   TEXT    PRIMARY KEY,
  bytes      INTEGER NOT NULL CHECK (bytes >= 0)
) STRICT, WITHOUT ROWID;
