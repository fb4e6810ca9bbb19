-- Version 3: the half of a message in a timeline names the rank at its other end. Timelines of before do not know it.
ALTER TABLE interval ADD COLUMN peer TEXT NOT NULL DEFAULT '';
