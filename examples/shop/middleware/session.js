// Each visitor gets a session: the cookie sid, and req.locals.sid for handlers.
const valid = /^[A-Za-z0-9-]{1,64}$/;

export default (req) => {
  const sid = req.cookies.sid;
  if (sid && valid.test(sid)) return next({ locals: { sid } });
  const fresh = `${kv.incr("sessions:last").toString(36)}-${Math.random().toString(36).slice(2)}`;
  return next({
    headers: { "set-cookie": `sid=${fresh}; Path=/; HttpOnly; SameSite=Lax` },
    locals: { sid: fresh },
  });
};
