// The one place for `any` in public types: where the caller names no type, a row or a value is whatever the caller says it is,
// so that `table.get(key)?.px + 1` needs no cast. Name the type, as in `table<Trade>('trades')`, and it is checked.
// biome-ignore lint/suspicious/noExplicitAny: see above
export type Any = any
