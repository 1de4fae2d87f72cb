-- Globs: patterns that mean paths of a repository, and whether two of them have a path in common.
--
--   *      any text within one part of a path        ?      one character
--   **     as a part: any parts, also none           [a-z]  one of these characters, [!a-z] one that is not
--   {a,b}  either                                    \      before one of these: that very character
--
-- A last part without wildcards means a file, or a folder with all below it; so does a / at the end. Folders may be named in
-- brackets (app/[id]/page.tsx), so brackets also mean themselves. Upper and lower case differ.
--
-- What is stored is the pattern written out: no braces, brackets either way, /** where all below is meant.

-- What some patterns mean, each glob once, or ME400, ME413.
create function mesh_lib.globs(patterns text[]) returns text[]
language plpgsql immutable set search_path = '' as $$
declare
  _globs constant text[] := array(
    select distinct mesh_lib.written_out(a) collate "C"
    from unnest(globs.patterns) p cross join lateral unnest(mesh_lib.glob_alternatives(normalize(p, NFC))) a order by 1);
begin
  if cardinality(_globs) > 100 then
    perform mesh_lib.fail(413, 'these patterns have more than 100 alternatives: use fewer braces', 'mesh claim --help');
  end if;
  return _globs;
end
$$;

-- Patterns as they were meant: a command line takes {a,b} apart at the comma.
create function mesh_lib.rejoined(patterns text[]) returns text[]
language plpgsql immutable set search_path = '' as $$
declare
  _patterns text[] := '{}'::text[];
  _open text;
  _part text;
begin
  foreach _part in array rejoined.patterns loop
    _open := coalesce(_open || ',', '') || _part;
    if mesh_lib.brace_depth(_open) <= 0 then
      _patterns := _patterns || _open;
      _open := null;
    end if;
  end loop;
  return case when _open is null then _patterns else _patterns || _open end;
end
$$;

create function mesh_lib.brace_depth(value text) returns integer
language sql immutable set search_path = '' as $$
  select sum(case m[1] when '{' then 1 when '}' then -1 else 0 end)::integer from regexp_matches(brace_depth.value, '\\.|.', 'g') m
$$;

-- A pattern without its braces, and with its brackets once as they are and once as text.
create function mesh_lib.glob_alternatives(pattern text) returns text[]
language plpgsql immutable set search_path = '' as $$
declare
  _open text[] := array[glob_alternatives.pattern];
  _whole text[] := '{}'::text[];
  _braces text[];
  _piece text;
  _ends text[];
begin
  while cardinality(_open) > 0 loop
    _braces := regexp_match(_open[1], '^(.*?)(?<!\\)\{((?:[^{}\\]|\\.)*,(?:[^{}\\]|\\.)*)\}(.*)$');
    if _braces is null then
      _ends := array[''];
      for _piece in select m[1] from regexp_matches(_open[1], '(\\.|\[[!^]?[^]\\/]+\]|[^[\\]+|.)', 'g') m loop
        _ends := array(select e || _piece from unnest(_ends) e) || case when _piece ~ '^\[..*\]$' then array(
          select e || '\[' || regexp_replace(substr(_piece, 2, length(_piece) - 2), '[*?]', '\\\&', 'g') || '\]' from unnest(_ends) e) else '{}' end;
        exit when cardinality(_ends) > 100;
      end loop;
      _whole := _whole || _ends;
      _open := _open[2:];
    else
      _open := array(select _braces[1] || p || _braces[3] from regexp_split_to_table(_braces[2], '(?<!\\),') p) || _open[2:];
    end if;
    if cardinality(_open) + cardinality(_whole) > 100 then
      perform mesh_lib.fail(413, 'a pattern has at most 100 alternatives: use fewer braces and brackets', 'mesh claim --help');
    end if;
  end loop;
  return _whole;
end
$$;

-- One alternative as it is stored, or ME400.
create function mesh_lib.written_out(alternative text) returns text
language plpgsql immutable set search_path = '' as $$
declare
  _shown constant text := left(written_out.alternative, 63);
  _parts constant text[] := array(
    select case when p.part ~ '^\*\*+$' then '**' else p.part end
    from regexp_split_to_table(written_out.alternative, '/') with ordinality p (part, n) where p.part not in ('', '.') order by p.n);
  _glob text;
begin
  if written_out.alternative ~ '\\(?![*?[\]{},!])' then
    perform mesh_lib.fail(400, format('''%s'' holds a backslash: parts of a path are separated by /', _shown), '');
  elsif written_out.alternative ~ '^(/|~/|[A-Za-z]:)' then
    perform mesh_lib.fail(400, format('''%s'' is absolute: a path begins at the root of the repository', _shown), '');
  elsif '..' = any (_parts) then
    perform mesh_lib.fail(400, format('''%s'' holds ..: a path begins at the root of the repository', _shown), '');
  end if;
  if cardinality(_parts) = 0 then
    return '**';
  end if;
  _glob := array_to_string(_parts, '/')
    || case when written_out.alternative ~ '/$' or not mesh_lib.is_wild(_parts[cardinality(_parts)]) then '/**' else '' end;
  return regexp_replace(_glob, '(^|/)\*\*(/\*\*)+(?=/|$)', '\1**', 'g');
end
$$;

-- Whether a part of a glob, or one of its pieces, means more than itself.
create function mesh_lib.is_wild(part text) returns boolean
language sql immutable set search_path = '' as $$
  select regexp_replace(is_wild.part, '\\.', '', 'g') ~ '[*?]|\[[!^]?[^]]+\]'
$$;

-- What a glob begins with before its first wildcard. Globs with a path in common begin alike.
create function mesh_lib.glob_beginning(glob text) returns text
language sql immutable return rtrim(substring(glob_beginning.glob from '^[^*?[\\]*'), '/');

-- Whether some path is meant by both globs. Exact, but for very long parts with wildcards on both sides, which count as meeting.
create function mesh_lib.globs_meet(a text, b text) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return globs_meet.a = globs_meet.b or mesh_lib.sequences_meet(string_to_array(globs_meet.a, '/'), string_to_array(globs_meet.b, '/'), '**');
end
$$;

-- Whether two sequences, in which `star` stands for any elements, also none, have one in common: the parts of globs (**), or
-- the pieces of parts (*). Walks through both at once; _here[j + 1] says that what is before i and before j meets.
create function mesh_lib.sequences_meet(a text[], b text[], star text) returns boolean
language plpgsql immutable set search_path = '' as $$
declare
  _here boolean[] := true || array_fill(false, array[cardinality(sequences_meet.b)]);
  _after boolean[];
  _x text; _y text;
begin
  for _i in 0..cardinality(a) loop
    _x := a[_i + 1];
    _after := array_fill(false, array[cardinality(b) + 1]);
    for _j in 0..cardinality(b) loop
      continue when not _here[_j + 1];
      _y := b[_j + 1];
      if _x = star or _y = star then
        if _y is not null then
          _here[_j + 2] := true;
        end if;
        if _x is not null then
          _after[_j + 1] := true;
        end if;
      elsif _x is not null and _y is not null and not _after[_j + 2] then
        _after[_j + 2] := case star when '**' then mesh_lib.parts_meet(_x, _y) else mesh_lib.pieces_meet(_x, _y) end;
      end if;
    end loop;
    exit when _i = cardinality(a);
    if not true = any (_after) then
      return false;
    end if;
    _here := _after;
  end loop;
  return _here[cardinality(b) + 1];
end
$$;

-- Whether one part of a path can be meant by both.
create function mesh_lib.parts_meet(a text, b text) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  if parts_meet.a = parts_meet.b then
    return true;
  elsif not mesh_lib.is_wild(parts_meet.a) and not mesh_lib.is_wild(parts_meet.b) then
    return regexp_replace(parts_meet.a, '\\(.)', '\1', 'g') = regexp_replace(parts_meet.b, '\\(.)', '\1', 'g');
  elsif length(parts_meet.a) * length(parts_meet.b) > 5000 then
    return true;
  end if;
  return mesh_lib.sequences_meet(mesh_lib.glob_pieces(parts_meet.a), mesh_lib.glob_pieces(parts_meet.b), '*');
end
$$;

-- A part as its wildcards, brackets and characters.
create function mesh_lib.glob_pieces(part text) returns text[]
language sql immutable set search_path = '' as $$
  select array_agg(m.m[1] order by m.n) from regexp_matches(glob_pieces.part, '(\\.|\[[!^]?[^]]+\]|.)', 'g') with ordinality m (m, n)
$$;

-- Whether one character can be meant by both.
create function mesh_lib.pieces_meet(a text, b text) returns boolean
language plpgsql immutable set search_path = '' as $$
declare
  _a_set constant boolean := length(pieces_meet.a) > 2;
  _b_set constant boolean := length(pieces_meet.b) > 2;
begin
  if pieces_meet.a = '?' or pieces_meet.b = '?' or pieces_meet.a = pieces_meet.b then
    return true;
  elsif not _a_set and not _b_set then
    return right(pieces_meet.a, 1) = right(pieces_meet.b, 1);
  elsif not _b_set then
    return mesh_lib.in_brackets(pieces_meet.a, right(pieces_meet.b, 1));
  elsif not _a_set then
    return mesh_lib.in_brackets(pieces_meet.b, right(pieces_meet.a, 1));
  elsif pieces_meet.a ~ '^\[[!^]' or pieces_meet.b ~ '^\[[!^]' then
    -- Nearly all characters are in one of them.
    return true;
  end if;
  -- Where two ranges meet, an end of one of them is in the other.
  return exists (
    select from regexp_split_to_table(pieces_meet.a || pieces_meet.b, '') c
    where mesh_lib.in_brackets(pieces_meet.a, c) and mesh_lib.in_brackets(pieces_meet.b, c));
end
$$;

create function mesh_lib.in_brackets(brackets text, "character" text) returns boolean
language sql immutable set search_path = '' as $$
  select exists (
      select from regexp_matches(substring(in_brackets.brackets from '^\[[!^]?(.+)\]$'), '(.)-(.)|(.)', 'g') m
      where (in_brackets."character" collate "C") between coalesce(m[1], m[3]) and coalesce(m[2], m[3]))
    <> (in_brackets.brackets ~ '^\[[!^]')
$$;
