// Where MarbleDB says what happens. Silent unless a logger is given; pino's fits as it is.
export interface Logger {
  debug(o: object, msg: string): void
  info(o: object, msg: string): void
  warn(o: object, msg: string): void
  error(o: object, msg: string): void
}

const nothing = (): void => {}
export const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing }
