// Talking to /v1: answers with the token in a header, and the live feed over fetch, which can carry one.
const KEY = "token";
export const RETRY_MS = 2000;

export const token = () => sessionStorage.getItem(KEY);
export const remember = (text) => sessionStorage.setItem(KEY, text.trim());
export const forget = () => sessionStorage.removeItem(KEY);

/** Take a token out of the address (`#token=...`): a fragment is never sent, and is gone from the history at once. */
export function tokenFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    remember(given);
    history.replaceState(null, "", location.pathname);
  }
}

export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

const headers = (more = {}) => (token() ? { Authorization: `Bearer ${token()}`, ...more } : more);

export async function ask(path, body) {
  const options = body === undefined
    ? { headers: headers() }
    : {
        method: "POST",
        headers: headers({ "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID?.() ?? String(Math.random()) }),
        body: JSON.stringify(body),
      };
  const answer = await fetch(path, options);
  if (!answer.ok && path !== "/v1/health") {
    const problem = await answer.json().catch(() => ({}));
    throw new Problem(answer.status, problem.detail ?? answer.statusText);
  }
  return answer.json();
}

/** Follow the feed until `signal` aborts. Resumes behind the last number; `opened(first)` after every connection. */
export async function follow({ signal, opened, event, closed }) {
  let last = null;
  while (!signal.aborted) {
    try {
      const resume = last === null ? {} : { "Last-Event-ID": last };
      const answer = await fetch("/v1/alerts/stream", { headers: headers(resume), signal });
      if (!answer.ok) throw new Problem(answer.status, answer.statusText);
      opened();
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const blocks = (rest + value).split("\n\n");
        rest = blocks.pop();
        for (const block of blocks) {
          const fields = Object.fromEntries(block.split("\n").map((line) => {
            const at = line.indexOf(":");
            return [line.slice(0, at), line.slice(at + 1).trimStart()];
          }));
          if (fields.event === "alert") {
            last = fields.id;
            event(JSON.parse(fields.data));
          }
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (closed(error)) return;
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS * (0.5 + Math.random())));
  }
}
