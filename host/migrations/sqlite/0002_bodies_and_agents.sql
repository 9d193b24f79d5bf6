-- What is too large for a row, by blake3 of its content. A rowid table: bodies do not belong in an
-- index. `packed` is 1 where `content` is a zstd frame of `size` bytes.
CREATE TABLE bodies (
  hash       BLOB    NOT NULL UNIQUE,
  size       INTEGER NOT NULL,
  packed     INTEGER NOT NULL CHECK (packed IN (0, 1)),
  content    BLOB    NOT NULL
) STRICT;

-- Which chains are agents: kept in the transactions of the rows that it follows from.
CREATE TABLE agents (
  pid        INTEGER PRIMARY KEY,
  chain      BLOB    NOT NULL,
  parent     INTEGER NOT NULL,
  resumes    INTEGER NOT NULL CHECK (resumes IN (0, 1)),
  ended      INTEGER NOT NULL CHECK (ended IN (0, 1))
) STRICT;
CREATE INDEX agents_live ON agents (pid) WHERE ended = 0 AND resumes = 1;

-- The last number that was given to an agent.
ALTER TABLE store ADD COLUMN pids INTEGER NOT NULL DEFAULT 0;
