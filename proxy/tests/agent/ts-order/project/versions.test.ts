import assert from "node:assert/strict";
import { test } from "node:test";
import { sorted } from "./versions.ts";

test("versions are in order", () => {
  assert.deepEqual(sorted(["1.10.0", "1.9.3", "1.9", "0.12"]), ["0.12", "1.9", "1.9.3", "1.10.0"]);
});
