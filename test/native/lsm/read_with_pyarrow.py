"""Print an .arrow file as JSON lines, as pyarrow sees it: the schema, then one line per row.

Usage: read_with_pyarrow.py FILE. Values that JSON has no form for are printed as text (bytes as
hexadecimal digits).
"""

import json
import sys

import pyarrow as pa


def plain(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def main():
    with pa.memory_map(sys.argv[1]) as source:
        table = pa.ipc.open_file(source).read_all()
        table.validate(full=True)
        fields = [[f.name, str(f.type), f.nullable] for f in table.schema]
        print(json.dumps({"schema": fields, "rows": table.num_rows}))
        for row in table.to_pylist():
            print(json.dumps({name: plain(value) for name, value in row.items()}))


if __name__ == "__main__":
    main()
