// What can be said of a file before it is sent. The server decides; this only saves a round trip.

const SIGNATURES = [
  ["image/png", [0x89, 0x50, 0x4e, 0x47]],
  ["image/jpeg", [0xff, 0xd8, 0xff]],
  ["image/tiff", [0x49, 0x49, 0x2a, 0x00]],
  ["image/tiff", [0x4d, 0x4d, 0x00, 0x2a]],
  ["application/zip", [0x50, 0x4b, 0x03, 0x04]],
];

async function kindOf(file) {
  const head = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  const match = SIGNATURES.find(([, bytes]) => bytes.every((byte, place) => head[place] === byte));
  return match ? match[0] : "";
}

// -> { problem: name of a sentence or "", note: the same, width, height, isArchive }
export async function inspect(file, limits) {
  if (file.size === 0) return { problem: "empty" };
  const kind = await kindOf(file);
  if (kind === "application/zip") {
    const isTooLarge = file.size > limits.zipMegabytes * 1024 * 1024;
    return isTooLarge ? { problem: "zipSize" } : { note: "archive", isArchive: true };
  }
  if (file.size > limits.imageMegabytes * 1024 * 1024) return { problem: "size" };
  if (!kind) return { problem: "kind" };
  if (kind === "image/tiff") return {}; // no browser shows TIFF: the server looks at it
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return { problem: "unreadable" };
  }
  const { width, height } = bitmap;
  bitmap.close();
  const [short, long] = [Math.min(width, height), Math.max(width, height)];
  if (long > limits.maxSide) return { problem: "large", width, height };
  if (short < limits.minSide || long > limits.maxAspect * short) return { problem: "dimensions", width, height };
  const isExact = width === limits.patchSide && height === limits.patchSide;
  return { note: isExact ? "" : "rescaled", width, height };
}
