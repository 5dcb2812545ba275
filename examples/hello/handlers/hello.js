export default (req) => ({ hello: req.query.name ?? "world" });
