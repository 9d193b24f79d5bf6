-- Contexts of agents: what each remembers. `id` is the agent's chain, or random where pages were
-- loaded from a file; `pid` is 0 then. `state` and `layout` are JSON: counters that change with
-- every call, and the order of the window, which changes only when something leaves it.
CREATE TABLE contexts (
  id          BLOB    PRIMARY KEY,
  pid         INTEGER NOT NULL,
  name        TEXT    NOT NULL,
  updated_us  INTEGER NOT NULL,
  state       TEXT    NOT NULL,
  layout      TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX contexts_by_name ON contexts (name, updated_us);
CREATE INDEX contexts_by_pid ON contexts (pid, updated_us);

-- Pages in the order of the log; `record` is JSON, `hash` names the content.
CREATE TABLE pages (
  context  BLOB    NOT NULL,
  number   INTEGER NOT NULL,
  hash     BLOB    NOT NULL,
  record   TEXT    NOT NULL,
  PRIMARY KEY (context, number)
) STRICT, WITHOUT ROWID;

-- Content of pages by its hash, once, whoever has it. A rowid table, since bodies may be large.
CREATE TABLE page_contents (
  hash  BLOB NOT NULL UNIQUE,
  body  BLOB NOT NULL
) STRICT;
