// Calls to the service. Errors are in words; calls that may succeed later are repeated with a pause.

const KEY = "plaudit-key";
const BUSY = "The service is busy. Trying again in";
const UNREACHABLE = "The service cannot be reached. Trying again …";

/** `status` is the answer's, 0 where there was none. */
export class ServiceError extends Error {
  constructor(message, { status, code, seconds = 1 }) {
    super(message);
    Object.assign(this, { status, code, seconds });
  }
}

/** Says `notice` (words for people, "" when all is well) and `key` (one is needed). */
export const events = new EventTarget();
const tell = (name, detail) => events.dispatchEvent(new CustomEvent(name, { detail }));

/** One call, one answer: the JSON, or a ServiceError. `body` is what to post, as JSON text or as what becomes it. */
export async function call(path, { body, signal, seconds = 30 } = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { Accept: "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const late = AbortSignal.timeout(seconds * 1000);
  let response, said;
  try {
    response = await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      body: typeof body === "string" || body === undefined ? body : JSON.stringify(body),
      headers,
      cache: "no-store",
      signal: signal ? AbortSignal.any([signal, late]) : late,
    });
    said = await response.json().catch((error) => {
      if (error instanceof SyntaxError) return {};
      throw error;
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ServiceError(UNREACHABLE, { status: 0, code: "unreachable" });
  }
  if (response.ok) return said;
  const { code = "http", message = `The service answered ${response.status}.` } = said.error ?? {};
  const after = Number(response.headers.get("Retry-After"));
  const error = new ServiceError(message, { status: response.status, code, seconds: after > 0 ? Math.min(after, 60) : 1 });
  if (error.status === 401) error.key = key;
  throw error;
}

/** As `call`, but waits out a busy service, one that cannot be reached and a key that is not there yet. */
export async function patient(path, options = {}) {
  const sayBusy = options.onBusy ?? ((seconds) => { toldBusy = true; tell("notice", `${BUSY} ${seconds} s.`); });
  for (;;) {
    try {
      const answer = await call(path, options);
      notBusy();
      return answer;
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      if (error.status === 401) await keyOtherThan(error.key, options.signal);
      else if (error.status === 503) {
        sayBusy(error.seconds);
        await pause(error.seconds * 1000, options.signal).catch((aborted) => { notBusy(); throw aborted; });
      } else if (error.status === 0) await reachable(options.signal);
      else throw error;
    }
  }
}

let toldBusy = false;
function notBusy() {
  if (toldBusy) tell("notice", "");
  toldBusy = false;
}

export function pause(ms, signal) {
  return unlessAborted(new Promise((resolve) => setTimeout(resolve, ms)), signal);
}

function unlessAborted(promise, signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

// However many calls wait, only one checks whether the service is back.
let probing = null;
function reachable(signal) {
  probing ??= (async () => {
    tell("notice", UNREACHABLE);
    for (let wait = 1; ; wait = Math.min(wait * 1.6, 8)) {
      await pause(wait * 1000);
      try {
        await call("healthz", { seconds: 5 });
        break;
      } catch { /* not yet */ }
    }
    probing = null;
    tell("notice", "");
    tell("back");
  })();
  return unlessAborted(probing, signal);
}

let asking = null;
function keyOtherThan(refused, signal) {
  if (!asking && sessionStorage.getItem(KEY) !== refused) return Promise.resolve();
  if (!asking) {
    asking = {};
    asking.given = new Promise((resolve) => { asking.resolve = resolve; });
    sessionStorage.removeItem(KEY);
    tell("key", { refused });
  }
  return unlessAborted(asking.given, signal);
}

/** Try a key: return "" and continue waiting calls if the service accepts it, otherwise what is wrong. */
export async function giveKey(key) {
  if (!/^[\x20-\x7e]+$/.test(key)) return key ? "A key has only letters, digits and other ASCII characters." : "Enter the key first.";
  sessionStorage.setItem(KEY, key);
  try {
    await call("v1/limits");
  } catch (error) {
    if (error.status !== 503) {
      sessionStorage.removeItem(KEY);
      return error.status === 401 ? "The service does not accept this key." : error.message;
    }
  }
  asking?.resolve();
  asking = null;
  return "";
}

export const hasKey = () => sessionStorage.getItem(KEY) !== null;
