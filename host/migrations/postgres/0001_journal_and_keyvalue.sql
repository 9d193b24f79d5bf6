-- The tables lie in the schema that `search_path` names. Texts that a guest can shape are BYTEA:
-- TEXT takes no zero byte, and orders by the database's locale. `convert_from(body, 'UTF8')` reads
-- one.

-- One row: which store this is, which version of the schema, and the lock of registration.
CREATE TABLE store (
  one      SMALLINT PRIMARY KEY CHECK (one = 1),
  id       BYTEA    NOT NULL,
  -- The number of the newest script that has run.
  version  BIGINT   NOT NULL,
  -- Raised by a sync that has no rows of its own: a commit without a change syncs nothing.
  syncs    BIGINT   NOT NULL
);
INSERT INTO store (one, id, version, syncs) VALUES (1, uuid_send(gen_random_uuid()), 0, 0);

-- Chains in the order they were registered, dense from 1; each link covers the one before.
CREATE TABLE chains (
  number     BIGINT PRIMARY KEY,
  id         BYTEA  NOT NULL UNIQUE,
  opened_us  BIGINT NOT NULL,
  plugin     BYTEA  NOT NULL,
  first      BYTEA  NOT NULL,
  link       BYTEA  NOT NULL
);

-- The journal. Nothing is NULL: '' means "none", so each row has one encoding only. The chain has
-- no foreign key, which would look it up for each row: the writer registers it in the transaction
-- of its first row, and the verification finds rows of no chain.
CREATE TABLE journal (
  chain      BIGINT NOT NULL,
  seq        BIGINT NOT NULL,
  time_us    BIGINT NOT NULL,
  kind       BYTEA  NOT NULL,
  who        BYTEA  NOT NULL,
  call       BYTEA  NOT NULL,
  component  BYTEA  NOT NULL,
  capability BYTEA  NOT NULL,
  target     BYTEA  NOT NULL,
  verdict    BYTEA  NOT NULL,
  body       BYTEA  NOT NULL,
  hash       BYTEA  NOT NULL,
  PRIMARY KEY (chain, seq)
);

-- Key-value pairs of plugins. An index entry holds 2,704 bytes: the longest key and bucket, 1 KiB
-- each, and an identity of 600.
CREATE TABLE keyvalue (
  identity   BYTEA  NOT NULL,
  bucket     BYTEA  NOT NULL,
  key        BYTEA  NOT NULL,
  value      BYTEA  NOT NULL,
  UNIQUE (identity, bucket, key)
);

-- What each identity is charged, kept in the transaction that changes it. Its row is the lock of
-- the identity's pairs.
CREATE TABLE keyvalue_usage (
  identity   BYTEA  PRIMARY KEY,
  bytes      BIGINT NOT NULL CHECK (bytes >= 0)
);
