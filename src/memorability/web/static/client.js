// Asks the server. A busy one says when to come again, and is asked again then.

const PATIENCE = 30; // times

async function told(response) {
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  throw new Error(body.detail || `the server answered ${response.status}`);
}

export const get = async (path) => told(await fetch(path));

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

// `waiting` is told how many seconds are waited when the server is busy.
export async function send(path, file, model, { waiting = () => {} } = {}) {
  for (let turn = 1; ; turn++) {
    const form = new FormData();
    form.append("file", file, file.name);
    if (model) form.append("model", model);
    let response;
    try {
      response = await fetch(path, { method: "POST", body: form });
    } catch {
      throw new Error("the server cannot be reached");
    }
    if (response.status !== 503 || turn === PATIENCE) return told(response);
    const seconds = Number(response.headers.get("Retry-After")) || 1;
    waiting(seconds);
    await pause(seconds);
  }
}
