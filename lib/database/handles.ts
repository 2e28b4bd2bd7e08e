// The key under which wrappers keep their native handle for each other: not reachable by name.
export const handleOf = Symbol('marbledb.handle')
