-- Contexts of agents: what each remembers. `id` is the agent's chain, or random where pages were
-- loaded from a file; `pid` is 0 then. `state` and `layout` are JSON: counters that change with
-- every call, and the order of the window, which changes only when something leaves it.
CREATE TABLE contexts (
  id          BYTEA  PRIMARY KEY,
  pid         BIGINT NOT NULL,
  name        BYTEA  NOT NULL,
  updated_us  BIGINT NOT NULL,
  state       BYTEA  NOT NULL,
  layout      BYTEA  NOT NULL
);
CREATE INDEX contexts_by_name ON contexts (name, updated_us);
CREATE INDEX contexts_by_pid ON contexts (pid, updated_us);

-- Pages in the order of the log; `record` is JSON, `hash` names the content.
CREATE TABLE pages (
  context  BYTEA  NOT NULL,
  number   BIGINT NOT NULL,
  hash     BYTEA  NOT NULL,
  record   BYTEA  NOT NULL,
  PRIMARY KEY (context, number)
);

-- Content of pages by its hash, once, whoever has it.
CREATE TABLE page_contents (
  hash  BYTEA PRIMARY KEY,
  body  BYTEA NOT NULL
);
