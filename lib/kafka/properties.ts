// librdkafka's settings as callers of createSource and TestProducer give them: the planner's rules, without a place in a text.
import { invalidArgument } from '../errors.js'
import { kafkaPropertyProblem } from '../sql/index.js'

/** Check settings by librdkafka's names. */
export function checkKafkaProperties(
  where: string,
  properties: Readonly<Record<string, string>>,
  role: 'consumer' | 'producer',
): void {
  for (const [name, value] of Object.entries(properties)) {
    const problem = kafkaPropertyProblem(name, value, role === 'consumer' ? 'C' : 'P')
    if (problem !== undefined) throw invalidArgument(`${where}: ${problem.reason}; ${problem.hint}`)
  }
}
