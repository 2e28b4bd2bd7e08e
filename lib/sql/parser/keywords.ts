// Words that cannot be names without back-quotes. Flink reserves more; those that do not make the grammar ambiguous
// (date, value, key, user, year …) are accepted as names here.

export const kReserved: ReadonlySet<string> = new Set(
  `ALL AND AS BETWEEN BY CASE CAST CREATE CROSS DISTINCT DROP ELSE END EXCEPT EXISTS FALSE FETCH FOR FROM FULL GROUP HAVING IN INNER
  INSERT INTERSECT INTERVAL INTO IS JOIN LATERAL LEFT LIKE LIMIT MINUS NATURAL NOT NULL OFFSET ON OR ORDER OVER PRIMARY RIGHT SELECT SET
  TABLE THEN TRUE TRY_CAST UNION USING VALUES WATERMARK WHEN WHERE WINDOW WITH`.split(/\s+/),
)

/** Words that may follow a FROM item or a select item: an alias that is one of them misspelt is a slip, not an alias. */
export const kClauseWords = [
  'FROM',
  'WHERE',
  'GROUP',
  'HAVING',
  'ORDER',
  'LIMIT',
  'UNION',
  'JOIN',
  'INNER',
  'LEFT',
  'CROSS',
  'WINDOW',
] as const
