// How an Arrow type's arrays lie in buffers: the same walk as native/napi/arrow_layout.h.
import type { JsonField } from './json-schema.js'

export type Shape =
  | 'null'
  | 'bits'
  | 'fixed'
  | 'bytes32'
  | 'bytes64'
  | 'list32'
  | 'list64'
  | 'fixedList'
  | 'struct'
  | 'sparseUnion'
  | 'denseUnion'
  /** Children: the indices, the values. */
  | 'dictionary'

type TypedArrayConstructor =
  | Int8ArrayConstructor
  | Int16ArrayConstructor
  | Int32ArrayConstructor
  | Uint8ArrayConstructor
  | Uint16ArrayConstructor
  | Uint32ArrayConstructor
  | Float32ArrayConstructor
  | Float64ArrayConstructor
  | BigInt64ArrayConstructor
  | BigUint64ArrayConstructor

export interface Layout {
  readonly shape: Shape
  /** 'fixed': the typed array that apache-arrow sees the values through, and how many of its elements make a value. */
  readonly array: TypedArrayConstructor
  readonly elements: number
  readonly children: readonly Layout[]
  /** The reader is given views of the bytes. */
  readonly view: boolean
}

const intArrays = {
  8: [Uint8Array, Int8Array],
  16: [Uint16Array, Int16Array],
  32: [Uint32Array, Int32Array],
  64: [BigUint64Array, BigInt64Array],
} as const

const intervalElements = { YEAR_MONTH: 1, DAY_TIME: 2, MONTH_DAY_NANO: 4 } as const
const buffersOf: Record<Shape, number> = {
  null: 0,
  bits: 2,
  fixed: 2,
  bytes32: 3,
  bytes64: 3,
  list32: 2,
  list64: 2,
  fixedList: 1,
  struct: 1,
  sparseUnion: 1,
  denseUnion: 2,
  dictionary: 0,
}

/** How many numbers of a chunk's description a column takes: of each node its length and null count, and two for each buffer. */
export function numbersOf({ shape, children }: Layout): number {
  return children.reduce((sum, child) => sum + numbersOf(child), 2 + 2 * buffersOf[shape])
}

export function layoutOf(field: JsonField): Layout {
  const { type, children } = field
  if (field.dictionary !== undefined) {
    const { dictionary, ...values } = field
    const indices: JsonField = { name: '', nullable: true, type: dictionary.indexType, children: [] }
    const parts = [layoutOf(indices), layoutOf(values)]
    return { shape: 'dictionary', array: Uint8Array, elements: 1, children: parts, view: false }
  }
  const make = (shape: Shape, array: TypedArrayConstructor = Uint8Array, elements = 1): Layout => ({
    shape,
    array,
    elements,
    children: (children ?? []).map(layoutOf),
    view: field.view === true,
  })
  switch (type.name) {
    case 'null':
      return make('null')
    case 'bool':
      return make('bits')
    case 'utf8':
    case 'binary':
      return make('bytes32')
    case 'largeutf8':
    case 'largebinary':
      return make('bytes64')
    case 'list':
    case 'map':
      return make('list32')
    case 'largelist':
      return make('list64')
    case 'fixedsizelist':
      return make('fixedList')
    case 'struct':
      return make('struct')
    case 'union':
      return make(type.mode === 'DENSE' ? 'denseUnion' : 'sparseUnion')
    case 'int':
      return make('fixed', intArrays[type.bitWidth as 8 | 16 | 32 | 64][type.isSigned ? 1 : 0])
    case 'floatingpoint':
      return make(
        'fixed',
        type.precision === 'HALF' ? Uint16Array : type.precision === 'SINGLE' ? Float32Array : Float64Array,
      )
    case 'decimal':
      return make('fixed', Uint32Array, type.bitWidth / 32)
    case 'date':
      return make('fixed', type.unit === 'DAY' ? Int32Array : BigInt64Array)
    case 'time':
      return make('fixed', type.bitWidth === 32 ? Int32Array : BigInt64Array)
    case 'timestamp':
    case 'duration':
      return make('fixed', BigInt64Array)
    case 'interval':
      return make('fixed', Int32Array, intervalElements[type.unit])
    case 'fixedsizebinary':
      return make('fixed', Uint8Array, type.byteWidth)
  }
}
