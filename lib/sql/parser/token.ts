import type { Span } from '../text/span.js'

export type TokenKind = 'word' | 'quoted' | 'string' | 'binary' | 'number' | 'symbol' | 'parameter' | 'eof'

export interface Token extends Span {
  readonly kind: TokenKind
  /** As written. */
  readonly text: string
  /** A word in upper case; the unescaped content of a quoted name, string or parameter; else as written. */
  readonly value: string
}
