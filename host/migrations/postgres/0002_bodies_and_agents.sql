-- What is too large for a row, by blake3 of its content. `packed` is set where `content` is a zstd
-- frame of `size` bytes; the server need not try to compress it again.
CREATE TABLE bodies (
  hash       BYTEA    PRIMARY KEY,
  size       BIGINT   NOT NULL,
  packed     BOOLEAN  NOT NULL,
  content    BYTEA    NOT NULL
);
ALTER TABLE bodies ALTER COLUMN content SET STORAGE EXTERNAL;

-- Which chains are agents: kept in the transactions of the rows that it follows from.
CREATE TABLE agents (
  pid        BIGINT   PRIMARY KEY,
  chain      BYTEA    NOT NULL,
  parent     BIGINT   NOT NULL,
  resumes    BOOLEAN  NOT NULL,
  ended      BOOLEAN  NOT NULL
);
CREATE INDEX agents_live ON agents (pid) WHERE resumes AND NOT ended;

-- The last number that was given to an agent.
ALTER TABLE store ADD COLUMN pids BIGINT NOT NULL DEFAULT 0;
