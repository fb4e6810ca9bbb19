-- Version 4: the half of a message in a timeline says what it moved over what, when the program asked for it and how long
-- its rank waited. Timelines of before do not know it.
ALTER TABLE interval ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE interval ADD COLUMN link TEXT NOT NULL DEFAULT '';
ALTER TABLE interval ADD COLUMN posted_ps INTEGER NOT NULL DEFAULT 0;
ALTER TABLE interval ADD COLUMN exposed_ps INTEGER NOT NULL DEFAULT 0;
