/** What `TestBroker.start` takes. */
export interface TestBrokerOptions {
  /** Java heap, 256m when not given. */
  heap?: string
  /** Further lines of server.properties. */
  settings?: Record<string, string>
}
/** A real Kafka broker for tests: see broker.mjs. */
export class TestBroker implements AsyncDisposable {
  private constructor()
  static start(options?: TestBrokerOptions): Promise<TestBroker>
  get version(): string
  get bootstrapServers(): string
  get pid(): number | undefined
  get logFile(): string
  createTopic(name: string, partitions: number, config?: Record<string, string>): Promise<void>
  kill(): Promise<void>
  restart(): Promise<void>
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}
