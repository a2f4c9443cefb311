// Sends files in chunks that the server takes, one request after the other, and survives a lost connection.

const TRIES = 5;
const CHUNK_IMAGES = 50;
const CHUNK_BYTES = 8 * 1000 * 1000;
const LONGEST_PAUSE = 60;

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class Lost extends Error {}

export function chunks(items, limits) {
  const most = { images: Math.min(CHUNK_IMAGES, limits.requestImages), bytes: Math.min(CHUNK_BYTES, limits.requestBytes) };
  const result = [];
  let current = [];
  let bytes = 0;
  for (const item of items) {
    if (item.isArchive) { // goes alone, as a field of its own
      result.push([item]);
      continue;
    }
    if (current.length && (current.length >= most.images || bytes + item.file.size > most.bytes)) {
      result.push(current);
      [current, bytes] = [[], 0];
    }
    current.push(item);
    bytes += item.file.size;
  }
  return current.length ? [...result, current] : result;
}

function post(url, body, token, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    request.setRequestHeader("X-CSRFToken", token);
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded / Math.max(event.total, 1)));
    request.addEventListener("load", () => resolve(request));
    request.addEventListener("error", () => reject(new Lost()));
    request.send(body);
  });
}

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

// One chunk -> the server's answer, whether it took all, some or none of the files.
// Sending a chunk twice is harmless: the same pixels are the same patch.
export async function sendChunk({ url, body, token, onProgress, onPause }) {
  for (let attempt = 1; ; attempt += 1) {
    let wait = 2 ** (attempt - 1);
    try {
      const answer = await post(url, body, token, onProgress);
      if (answer.status < 300 || answer.response?.rejected) return answer.response;
      const isPassing = answer.status === 503 || answer.status === 502 || answer.status === 504;
      if (!isPassing || attempt === TRIES) throw new Refused(answer.status, answer.response?.error?.message ?? "");
      wait = Math.min(Number(answer.getResponseHeader("Retry-After")) || wait, LONGEST_PAUSE);
    } catch (error) {
      if (!(error instanceof Lost) || attempt === TRIES) throw error;
    }
    onPause(wait);
    await pause(wait);
  }
}
