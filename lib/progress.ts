/** How far a long call has come. */
export interface Progress {
  done: number
  /** Absent where it is not known before the end. */
  total?: number
  unit: 'rows' | 'bytes' | 'files'
}
