-- Texts of agents to be found again: by their words, and by vectors in the space of one model.
CREATE TABLE documents (
  number   INTEGER PRIMARY KEY,
  agent    TEXT    NOT NULL,
  id       TEXT    NOT NULL,
  text     TEXT    NOT NULL,
  UNIQUE (agent, id)
) STRICT;

-- The words. The texts themselves lie in `documents`; the triggers keep both together.
CREATE VIRTUAL TABLE documents_words USING fts5 (
  text, content='documents', content_rowid='number', tokenize='unicode61 remove_diacritics 2'
);
CREATE TRIGGER documents_put AFTER INSERT ON documents BEGIN
  INSERT INTO documents_words (rowid, text) VALUES (new.number, new.text);
END;
CREATE TRIGGER documents_removed AFTER DELETE ON documents BEGIN
  INSERT INTO documents_words (documents_words, rowid, text)
    VALUES ('delete', old.number, old.text);
END;
CREATE TRIGGER documents_changed AFTER UPDATE OF text ON documents BEGIN
  INSERT INTO documents_words (documents_words, rowid, text)
    VALUES ('delete', old.number, old.text);
  INSERT INTO documents_words (rowid, text) VALUES (new.number, new.text);
END;

-- Vectors of one space can be compared, of two not.
CREATE TABLE spaces (
  number     INTEGER PRIMARY KEY,
  model      TEXT    NOT NULL,
  version    TEXT    NOT NULL,
  dimensions INTEGER NOT NULL,
  UNIQUE (model, version, dimensions)
) STRICT;

-- A vector of length 1, as f32 in little endian.
CREATE TABLE vectors (
  space      INTEGER NOT NULL REFERENCES spaces (number),
  document   INTEGER NOT NULL REFERENCES documents (number) ON DELETE CASCADE,
  vector     BLOB    NOT NULL,
  PRIMARY KEY (space, document)
) STRICT;
CREATE INDEX vectors_by_document ON vectors (document);

-- Raised by every change of an agent's documents, so that what was built from them is known to be
-- old; and how many there are.
CREATE TABLE documents_of (
  agent      TEXT    PRIMARY KEY,
  changes    INTEGER NOT NULL,
  documents  INTEGER NOT NULL CHECK (documents >= 0)
) STRICT, WITHOUT ROWID;
