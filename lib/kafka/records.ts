// Records for Kafka as callers give them, checked field by field: a misspelled `vlaue` would be a tombstone.
import { checkFields, checkValue, count, rule, type Rule, type Rules } from '../options.js'
import type { Key } from '../state/state-backend.js'

export interface KafkaRecord {
  key?: Key | null
  /** Without one the record is a tombstone. */
  value?: Key | null
  partition?: number
  /** Epoch ms, from 1 (librdkafka takes 0 for now); without it the time of producing. */
  timestamp?: number
}

/** More than any cluster has. */
const kMaxPartitions = 100_000
const bytesOrNull: Rule = {
  allowed: `${rule.bytes.allowed} or null`,
  is: value => value === null || rule.bytes.is(value),
}
const recordRules: Rules<KafkaRecord> = {
  key: bytesOrNull,
  value: bytesOrNull,
  partition: count(0, kMaxPartitions - 1),
  timestamp: count(1),
}

/** Kafka's own rule for names. */
export const topicRule: Rule = {
  allowed: "a topic's name: 1 to 249 of the characters a-z, A-Z, 0-9, '.', '_' and '-'",
  is: value => typeof value === 'string' && /^[\w.-]{1,249}$/.test(value) && value !== '.' && value !== '..',
}
export const partitionsRule = count(1, kMaxPartitions)

export function checkRecords(where: string, topic: string, records: readonly KafkaRecord[]): void {
  checkValue(where, 'topic', topic, topicRule)
  checkValue(where, 'records', records, rule.list)
  for (let i = 0; i < records.length; i++) checkFields(`${where}: record ${i}`, records[i], recordRules)
}
