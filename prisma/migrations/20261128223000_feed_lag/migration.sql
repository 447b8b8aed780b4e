CREATE FUNCTION "sync"."feed_lags"() RETURNS TABLE (consumer text, lag_seconds double precision) LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF to_regclass('sync.changes') IS NULL THEN RETURN; END IF;
  RETURN QUERY SELECT c.name, coalesce(extract(epoch FROM clock_timestamp() - (
    SELECT f.seen_at FROM sync.changes f WHERE f.seq > c.seq ORDER BY f.seq LIMIT 1)), 0)::double precision FROM sync.consumers c;
END
$$;
COMMENT ON FUNCTION "sync"."feed_lags"() IS 'Age of the oldest change that each consumer has not acknowledged; 0: it has all';
