import { expect, it } from "vitest";
import { choosePath } from "../../../../src/engine/executor/session/choose-path.ts";

it("takes the Gram form as long as the m² float32 matrix stays within the limit", () => {
  expect(choosePath(8, { gramLimitBytes: 256 })).toBe("gram");
  expect(choosePath(8, { gramLimitBytes: 255 })).toBe("residual");
  expect(choosePath(1, { gramLimitBytes: 0 })).toBe("residual");
  expect(choosePath(1_048_576, { gramLimitBytes: 2 ** 30 })).toBe("residual");
});
