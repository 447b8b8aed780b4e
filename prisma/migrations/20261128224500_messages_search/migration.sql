-- Words of messages are found by an index. A text too long for it would be refused; its beginning never is.
CREATE INDEX "messages_search_idx" ON "tiledesk"."messages" USING gin (to_tsvector('simple', left("text", 100000)));
