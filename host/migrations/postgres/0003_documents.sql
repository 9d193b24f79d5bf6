-- Texts of agents to be found again: by their words, and by vectors in the space of one model. The
-- table of vectors is made when the first vector comes: it needs the extension `vector`, without
-- which everything else works.
CREATE TABLE documents (
  number   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  agent    BYTEA    NOT NULL,
  id       BYTEA    NOT NULL,
  text     BYTEA    NOT NULL,
  words    TSVECTOR NOT NULL,
  UNIQUE (agent, id)
);
CREATE INDEX documents_words ON documents USING gin (words);

-- Vectors of one space can be compared, of two not.
CREATE TABLE spaces (
  number     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  model      BYTEA    NOT NULL,
  version    BYTEA    NOT NULL,
  dimensions INTEGER  NOT NULL,
  UNIQUE (model, version, dimensions)
);

-- How many documents an agent has. Its row is the lock of its documents.
CREATE TABLE documents_of (
  agent      BYTEA    PRIMARY KEY,
  documents  BIGINT   NOT NULL CHECK (documents >= 0)
);
