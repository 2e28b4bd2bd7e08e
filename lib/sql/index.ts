// The SQL front end: text to plans. It knows nothing of the addon.

export {
  kCatalogVersion,
  Catalog,
  type CatalogEntry,
  type CatalogJson,
  type Creation,
  type RegisteredSource,
} from './catalog/catalog.js'
export { type Connector, type OptionDefinition, Options, type PhysicalColumn } from './catalog/connector.js'
export { kafka } from './catalog/connectors/kafka.js'
export { kafkaPropertyProblem } from './catalog/connectors/kafka-properties.js'
export type { DescribedColumn } from './catalog/describe.js'
export {
  type CatalogObject,
  type CatalogTable,
  type CatalogView,
  type ConnectorConfig,
  isLocal,
  storedFields,
  type TableColumn,
} from './catalog/table.js'
export { checkParameters, type Parameters } from './binder/parameters.js'
export { type ParameterMarker, type ParsedStatement, type ParseOptions, parseStatements } from './parser/parse.js'
export { explainPlan as explain } from './plan/explain.js'
export * from './plan/plan.js'
export { uniqueNames } from './plan/plan-builder.js'
export {
  type ConstantRows,
  isBounded,
  type PlannedStatement,
  Planner,
  type PlanOptions,
} from './planner.js'
export { planPredicate } from './predicate.js'
export { type JobSettings, kSettings, type Settings } from './settings.js'
export { SqlError } from './sql-error.js'
