// Sends the token once; the response sets a session cookie that scripts cannot read.

const problem = document.getElementById("problem");

document.getElementById("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = document.getElementById("token").value;
  const answer = await fetch("login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token }),
  });
  if (answer.ok) location.reload();
  else problem.textContent = (await answer.json()).error;
});
